"""From a name with options, as a user writes it, to a policy."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, get_args

from ev_marl.policies.base import POLICIES, Information, Policy
from ev_marl.policies.learned.spec import LearnedSpec, read_learned
from ev_marl.support.errors import OptionError, PolicyError
from ev_marl.support.registry import did_you_mean

SPEC = re.compile(r"\s*(?P<name>[^\s(),=]+)\s*(?:\((?P<options>.*)\)\s*)?", re.DOTALL)


def make_policy(spec: str | Mapping[str, Any]) -> Policy:
    """Make a policy from its name.

    Parameters
    ----------
    spec : str or mapping
        A registered name, `module:Class`, which is imported, or the folder of a learned policy as `rllib:PATH` or, if
        it controls the whole site, `central:PATH`; with options as `best-response(trust=0.85)` (numbers, True, quoted
        text) or as a mapping `{name: best-response, options: {trust: 0.85}}`.

    Returns
    -------
    Policy
        A new one.

    Raises
    ------
    UnknownNameError
        If there is no such policy; the message lists those that exist.
    OptionError
        If the text cannot be read, or if the policy does not take these options; the message lists those that exist.
    PolicyError
        If what stands behind the name is not a policy.

    Examples
    --------
    >>> make_policy("best-response(trust=0.85, margin_steps=2)").trust
    0.85
    """
    name, options = _read_text(spec) if isinstance(spec, str) else _read_mapping(spec)
    policy = name.load(options) if isinstance(name, LearnedSpec) else POLICIES.make(name, options=options, trust=True)
    _check(str(name), policy)
    return policy


def _check(name: str, policy: object) -> None:
    """Find what is not a policy before it is asked for its first decision."""
    known = get_args(Information)
    information = getattr(policy, "information", None)
    if information not in known:
        raise PolicyError(f"policy '{name}': information is {information!r}; it is one of {', '.join(known)}")


def read_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a policy that is written as for `make_policy`.

    Raises
    ------
    OptionError
        If the text cannot be read.
    """
    name, options = _read_text(spec)
    return str(name), options


def write_spec(name: str, options: Mapping[str, Any]) -> str:
    """Name and options as a text for `make_policy`."""
    return f"{name}({', '.join(f'{option}={value!r}' for option, value in options.items())})" if options else name


def split_specs(text: str) -> list[str]:
    """Split `llf,best-response(trust=0.85, margin_steps=2)` at the commas outside brackets and quotes.

    Parameters
    ----------
    text : str
        Policies as given on a command line.

    Returns
    -------
    list of str
        One text for `make_policy` each, without the spaces around it; empty ones are left out.
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _read_text(text: str) -> tuple[str | LearnedSpec, dict[str, Any]]:
    learned = read_learned(text)
    if learned is not None:
        return learned, _read_options(text, learned.options[1:-1])
    match = SPEC.fullmatch(text)
    if match is None:
        raise OptionError(f"policy {text!r}: write name or name(option=value, ...)")
    return match["name"], _read_options(text, match["options"] or "")


def _read_options(text: str, inside: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"options({inside})", mode="eval").body
    except SyntaxError as error:
        raise OptionError(
            f"policy {text!r}: cannot read the options ({error.msg}); write name(option=value, ...)"
        ) from None
    if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
        raise OptionError(f"policy {text!r}: every option needs its name, as in name(option=value, ...)")
    options = {}
    for keyword in call.keywords:
        try:
            options[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise OptionError(
                f"policy {text!r}: the value of {keyword.arg} is not a number, True, False, None or quoted text"
            ) from None
    return options


def _read_mapping(spec: Mapping[str, Any]) -> tuple[str | LearnedSpec, dict[str, Any]]:
    allowed = ["name", "options"]
    for key in spec:
        if key not in allowed:
            raise OptionError(
                f"policy {dict(spec)!r}: no key '{key}'.{did_you_mean(str(key), allowed)} Keys: name, options."
            )
    name, options = spec.get("name"), spec.get("options", {})
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise OptionError(f"policy {dict(spec)!r}: write {{name: text, options: {{option: value}}}}")
    return read_learned(name) or name, dict(options)
