"""What all models of a scenario file share: strictness, and how alternatives are told apart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, Discriminator, PrivateAttr
from pydantic_core import PydanticCustomError

from ev_marl.scenario.problems import KeyPath, Places, ScenarioError
from ev_marl.support.registry import own_code_in


class Model(BaseModel):
    """Base of all scenario models: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class FileModel(Model):
    """Base of what a whole file says: it knows where its keys stand, and whether code that it names may run."""

    _places: Places = PrivateAttr(default_factory=Places)
    _trusted: bool = PrivateAttr(default=False)

    @property
    def places(self) -> Places:
        """Where its keys stand, for messages; empty where it was not read from a file."""
        return self._places

    @property
    def trusted(self) -> bool:
        """Whether somebody agreed to run the code that it names as module:Class."""
        return self._trusted

    def read_from(self, places: Places, *, trust: bool) -> Self:
        """The same, which knows where its keys stand, and whether its code may run."""
        self._places, self._trusted = places, trust
        return self

    @abstractmethod
    def plug_ins(self) -> Iterator[tuple[KeyPath, object]]:
        """Everything in it that can name code: plug-ins with their options, and the key of each."""

    def own_code(self) -> list[tuple[KeyPath, str]]:
        """Every module:Class that it names, options included, and at which key."""
        return [(path, name) for path, said in self.plug_ins() for name in dict.fromkeys(own_code_in(said))]

    def check_trust(self) -> None:
        """Refuse code that nobody agreed to run, before any of it is imported.

        Raises
        ------
        ScenarioError
            If it names some and is not trusted; one problem for each, with file and line.
        """
        if not self._trusted and (found := self.own_code()):
            message = "'{}' is custom code; if you trust the file, allow it with --trust, in Python with trust=True"
            raise ScenarioError([self._places.problem(path, message.format(name)) for path, name in found])


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
