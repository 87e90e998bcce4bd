"""The key `policies`: how policies are written, `name(option=value, ...)`, and how that is read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

from ev_marl.scenario.problems import KeyPath
from ev_marl.support.errors import OptionError
from ev_marl.support.registry import own_code_in
from ev_marl.support.values import shown

LEARNED = ("rllib", "central")
"""What stands before the colon of a learned policy's folder, which is no module."""

_SPEC = re.compile(r"\s*(?P<name>[^\s(),=]+)\s*(?:\((?P<options>.*)\)\s*)?", re.DOTALL)
_LEARNED = re.compile(
    rf"(?P<kind>{'|'.join(LEARNED)}):(?P<path>'[^']+'|\"[^\"]+\"|[^(),'\"]+?)\s*(?P<options>\(.*\))?", re.DOTALL
)


@dataclass(frozen=True)
class PolicySpec:
    """A policy as it is written, in parts."""

    name: str  # a registered name or module:Class; for a learned one its kind, rllib or central
    path: str | None  # folder of a learned one, without quotes
    options: dict[str, Any]
    written: str  # the options as they are written, without brackets

    @property
    def own_code(self) -> list[str]:
        """Every module:Class that it names, itself or in its options."""
        return list(dict.fromkeys(own_code_in([self.name, self.options])))


def read_policy(text: str) -> PolicySpec:
    """The parts of a policy's text.

    Raises
    ------
    OptionError
        If the text cannot be read.
    """
    stripped = text.strip()
    kind, colon, _ = stripped.partition(":")
    if colon and kind in LEARNED:
        match = _LEARNED.fullmatch(stripped)
        if match is None:
            raise OptionError(f"policy {shown(text)}: write {kind}:PATH, or {kind}:'PATH' around brackets and commas")
        written = (match["options"] or "")[1:-1]
        return PolicySpec(kind, match["path"].strip("'\""), _read_options(text, written), written)
    match = _SPEC.fullmatch(text)
    if match is None:
        raise OptionError(f"policy {shown(text)}: write name or name(option=value, ...)")
    written = match["options"] or ""
    return PolicySpec(match["name"], None, _read_options(text, written), written)


def _read_options(text: str, inside: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"options({inside})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise OptionError(
            f"policy {shown(text)}: cannot read the options ({why}); write name(option=value, ...)"
        ) from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise OptionError(f"policy {shown(text)}: cannot read the options; write name(option=value, ...)")
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise OptionError(f"policy {shown(text)}: every option needs its name, as in name(option=value, ...)")
    options: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg in options:
            raise OptionError(f"policy {shown(text)}: {keyword.arg} is given twice; give it once")
        try:
            options[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise OptionError(
                f"policy {shown(text)}: the value of {keyword.arg} is not a number, True, False, None or quoted text"
            ) from None
    return options


def _readable(text: str) -> str:
    try:
        read_policy(text)
    except OptionError as error:
        raise ValueError(str(error)) from error
    return text


PolicyText = Annotated[str, AfterValidator(_readable)]
"""A policy in a file."""


def policies_of(key: KeyPath, policies: Sequence[str]) -> Iterator[tuple[KeyPath, object]]:
    """The code that each policy of a list names, and its key."""
    return (((*key, i), policy_code(policy)) for i, policy in enumerate(policies))


def policy_code(text: str) -> list[str]:
    """Every module:Class that a policy's text names; none where it cannot be read, since nothing is made from it."""
    try:
        return read_policy(text).own_code
    except OptionError:
        return []
