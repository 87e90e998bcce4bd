"""What all models of a scenario file share: strictness, and how alternatives are told apart."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Discriminator
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """Base of all scenario models: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def choice(what: str, *keys: str) -> Discriminator:
    """Tells alternatives apart: a mapping by the key that only one of them has, a list as `list` where there is such an
    alternative, anything else as `plain`."""

    def tag(value: object) -> str | None:
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, list | tuple):
            return "<list>" if "list" in keys else None
        if not isinstance(value, dict):
            return "<plain>"
        return next((f"<{key}>" for key in keys if key in value), None)

    return Discriminator(tag, custom_error_type="choice", custom_error_message=f"expected {what}")


def fault(key: str, message: str) -> PydanticCustomError:
    """An error of a whole model that is best shown at one of its keys, such as `sampling` or `sampling.envs`."""
    return PydanticCustomError("fault", "{message}", {"key": key, "message": message})
