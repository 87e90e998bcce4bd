"""From a name with options, as a user writes it, to a policy: one with a name, code of one's own, or a learned one.

A learned policy is named by the folder of its training result, `rllib:PATH` or `central:PATH`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from ev_marl.policies.base import POLICIES, Information, Policy
from ev_marl.policies.learned import DESCRIPTION, WEIGHTS, load_policy
from ev_marl.scenario.schema.policies import LEARNED, PolicySpec, read_policy
from ev_marl.support.errors import OptionError, PolicyError
from ev_marl.support.registry import construct, did_you_mean

KINDS = dict(zip(LEARNED, ("decentralised", "central"), strict=True))
SEED_FOLDER = "seed_{}"
"""Folder of a training seed in that of a training result."""
_SEED = re.compile(SEED_FOLDER.format(r"(\d+)"))


def make_policy(spec: str | Mapping[str, Any], *, trust: bool = True) -> Policy:
    """Make a policy from its name.

    Parameters
    ----------
    spec : str or mapping
        A registered name, `module:Class`, which is imported, or the folder of a learned policy as `rllib:PATH` or, if
        it controls the whole site, `central:PATH`; with options as `best-response(trust=0.85)` (numbers, True, quoted
        text) or as a mapping `{name: best-response, options: {trust: 0.85}}`.
    trust : bool
        Whether custom code that it names, itself or in its options, may be imported; false if it comes from a file that
        is not trusted.

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
    TrustError
        If it names custom code, and `trust` is false.

    Examples
    --------
    >>> make_policy("best-response(trust=0.85, margin_steps=2)").trust
    0.85
    """
    name, options = _read_text(spec) if isinstance(spec, str) else _read_mapping(spec)
    policy = name.load(options) if isinstance(name, LearnedSpec) else POLICIES.make(name, options=options, trust=trust)
    _check(str(name), policy)
    return policy


def members(spec: str) -> tuple[str, ...]:
    """What runs for a policy: the training seeds of a learned one, anything else as it is.

    Raises
    ------
    OptionError
        If the text cannot be read, or if a learned policy is not where it is said to be.
    """
    learned = read_learned(spec)
    return (spec,) if learned is None else tuple(map(str, learned.seeds()))


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
    spec = read_policy(text)
    return _learned(spec) or spec.name, spec.options


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


@dataclass(frozen=True)
class LearnedSpec:
    """The name of a learned policy, in parts."""

    kind: str  # rllib: every agent has its own observation; central: one agent for all
    path: Path  # as written, relative to the current directory
    options: str = ""  # with its brackets, as written

    def __str__(self) -> str:
        path = str(self.path)
        written = f"'{path}'" if re.search(r"[(),\"]|^\s|\s$", path) else f'"{path}"' if "'" in path else path
        return f"{self.kind}:{written}{self.options}"

    @property
    def label(self) -> str:
        """Short name: the kind and the last part of the path, or the last two parts for a training seed."""
        whole = Path(os.path.abspath(self.path))
        name = f"{whole.parent.name}/{whole.name}" if _SEED.fullmatch(whole.name) else whole.name
        return f"{self.kind}:{name}{self.options}"

    @property
    def absolute(self) -> LearnedSpec:
        """The same with an absolute path."""
        return replace(self, path=Path(os.path.abspath(self.path)))

    def seeds(self) -> tuple[LearnedSpec, ...]:
        """One for each training seed: the subfolders `seed_0`, `seed_1`, ...; itself if the folder is a policy's own.

        Raises
        ------
        OptionError
            If there is no such folder, if it holds neither a policy nor training seeds, or if a seed has no policy yet.
        """
        if not self.path.is_dir():
            raise OptionError(f"policy '{self}': there is no folder {self.path} (seen from {Path.cwd()})")
        if (self.path / DESCRIPTION).is_file():
            return (self,)
        numbered = [(int(match[1]), entry) for entry in self.path.iterdir() if (match := _SEED.fullmatch(entry.name))]
        folders = [entry for _, entry in sorted(numbered)]
        if not folders:
            raise OptionError(
                f"policy '{self}': {self.path} has no {DESCRIPTION}, and no folders seed_0, seed_1, ... with one; "
                "name the folder of a training result"
            )
        unfinished = [entry.name for entry in folders if not (entry / DESCRIPTION).is_file()]
        if unfinished:
            raise OptionError(
                f"policy '{self}': no {DESCRIPTION} in {', '.join(unfinished)}; finish the training, or name the "
                f"finished seeds one by one, as in {self.kind}:{self.path}/seed_0"
            )
        return tuple(replace(self, path=entry) for entry in folders)

    def digest(self) -> str:
        """SHA-256 of the policy's files, which changes when another policy is written into the folder."""
        content = hashlib.sha256()
        for name in (DESCRIPTION, WEIGHTS):
            file = self.path / name
            content.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return content.hexdigest()

    def load(self, options: Mapping[str, Any]) -> Policy:
        """Load the policy.

        Raises
        ------
        OptionError
            If the folder holds several training seeds or no policy, or one of the other kind.
        """
        seeds = self.seeds()
        if seeds != (self,):
            raise OptionError(
                f"policy '{self}': {self.path} holds {len(seeds)} training seeds; name one of them, as in {seeds[0]}"
            )
        load: Callable[..., Any] = partial(load_policy, self.path)
        policy: Policy = construct(f"policy '{self}'", load, options)
        central = policy.information in ("site", "future")
        if central != (self.kind == "central"):
            other = "rllib" if self.kind == "central" else "central"
            raise OptionError(
                f"policy '{self}': {self.path} holds a {KINDS[other]} policy, which knows "
                f"'{policy.information}'; write {replace(self, kind=other)}"
            )
        return policy


def read_learned(spec: str) -> LearnedSpec | None:
    """What stands behind `rllib:PATH` or `central:PATH`, options in brackets included; None for any other text.

    Raises
    ------
    OptionError
        If it begins like one but has no path.
    """
    return _learned(read_policy(spec)) if spec.strip().partition(":")[0] in KINDS else None


def _learned(spec: PolicySpec) -> LearnedSpec | None:
    options = f"({spec.written})" if spec.written else ""
    return None if spec.path is None else LearnedSpec(spec.name, Path(os.path.normpath(spec.path)), options)
