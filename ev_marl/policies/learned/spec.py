"""`rllib:PATH` and `central:PATH`: a learned policy, named by the folder of its training result.

Text comes in; the folders of its training seeds, a short label, a hash of the content, or the loaded policy go out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ev_marl.policies.base import Policy
from ev_marl.policies.learned.description import DESCRIPTION, WEIGHTS
from ev_marl.policies.learned.files import load_policy
from ev_marl.scenario.schema.policies import LEARNED
from ev_marl.support.errors import OptionError
from ev_marl.support.registry import construct

KINDS = dict(zip(LEARNED, ("decentralised", "central"), strict=True))
_SPEC = re.compile(
    r"(?P<kind>rllib|central):(?P<path>'[^']+'|\"[^\"]+\"|[^(),'\"]+?)\s*(?P<options>\(.*\))?", re.DOTALL
)
_SEED = re.compile(r"seed_(\d+)")


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
    text = spec.strip()
    match = _SPEC.fullmatch(text)
    if match is None:
        kind, colon, _ = text.partition(":")
        if colon and kind in KINDS:
            raise OptionError(f"policy {spec!r}: write {kind}:PATH, or {kind}:'PATH' around brackets and commas")
        return None
    path = match["path"].strip("'\"")
    return LearnedSpec(match["kind"], Path(os.path.normpath(path)), match["options"] or "")
