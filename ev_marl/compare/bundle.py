"""What a run needs beside this package, for machines that share no folders: data files, learned policies, own code.

A `Work` comes in whose paths mean something here; a `Bundle` goes out that holds the files themselves, and unpacks
into a `Work` whose paths mean the same there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ev_marl.compare.day import Work
from ev_marl.compare.folder import files_of, named_files, names_file
from ev_marl.policies.learned import DESCRIPTION, WEIGHTS
from ev_marl.policies.make import read_learned
from ev_marl.scenario import Scenario
from ev_marl.scenario.reading import PLUG_IN_KEYS
from ev_marl.scenario.schema.policies import policy_code
from ev_marl.support.errors import RunError
from ev_marl.support.package import FOLDER

CODE = "code"  # folder of the bundle that goes onto the import path
LARGEST_PACKAGE_MB = 50.0


@dataclass(frozen=True)
class Bundle:
    """Work with the files that it needs; plain values, so that it goes to another machine."""

    work: Work
    digest: str  # of everything in it, and of this package
    files: Mapping[str, bytes] = field(compare=False)  # content by path inside the bundle
    names: Mapping[str, str] = field(compare=False)  # path inside the bundle by path here

    @classmethod
    def of(cls, work: Work) -> Bundle:
        """Pack.

        Raises
        ------
        RunError
            If a package of the user's own is too large to be sent around.
        """
        given = [*map(Path, named_files(json.loads(work.scenario))), *(Path(path) for _, path in work.track_files)]
        here = [(path, path.name) for path in given]
        here += [(_learned_folder(place), "policy") for _, place in work.places]
        files: dict[str, bytes] = {}
        names: dict[str, str] = {}
        for path, name in dict.fromkeys(here):
            names[str(path)] = f"data/{len(names)}/{name}"
            members = files_of(path) if path in given else [path / file for file in (DESCRIPTION, WEIGHTS)]
            for member in filter(Path.is_file, members):
                files[names[str(path)] + str(member)[len(str(path)) :]] = member.read_bytes()
        for package in sorted(_own_packages(work)):
            files.update(_source(package))
        content = hashlib.sha256(repr((work, package_digest())).encode())
        for name, data in sorted(files.items()):
            content.update(name.encode() + hashlib.sha256(data).digest())
        return cls(work, content.hexdigest(), files, names)

    def unpack(self, folder: Path) -> Work:
        """Write the files, make own code importable, and say where everything is now."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if (folder / CODE).is_dir():
            sys.path.insert(0, str(folder / CODE))
        there = {path: str(folder / name) for path, name in self.names.items()}
        places = [(name, read_learned(place)) for name, place in self.work.places]
        return replace(
            self.work,
            scenario=json.dumps(_with_files(json.loads(self.work.scenario), there), sort_keys=True),
            places=tuple(
                (name, str(replace(spec, path=Path(there[str(spec.path)]))))
                for name, spec in places
                if spec is not None
            ),
            track_files=tuple((seed, there[path]) for seed, path in self.work.track_files),
        )


@cache
def unpacked(bundle: Bundle) -> Work:
    """The work, its bundle unpacked once in this process, into a folder that goes when the process ends."""
    if not bundle.files:
        return bundle.work
    folder = tempfile.TemporaryDirectory(prefix="ev_marl-")
    _FOLDERS.append(folder)
    return bundle.unpack(Path(folder.name))


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@cache
def package_digest() -> str:
    """SHA-256 of this package's source: machines that have the same compute the same."""
    root = FOLDER
    content = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content.update(path.relative_to(root).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _learned_folder(place: str) -> Path:
    spec = read_learned(place)
    assert spec is not None
    return spec.path


def _with_files(model: Any, there: Mapping[str, str], at: str = "") -> Any:
    """The same model with other paths of its data files; `at` is the key at which it stands."""
    if isinstance(model, dict):
        return {
            key: value
            if key in PLUG_IN_KEYS or value is None
            else there[value]
            if names_file(key, at)
            else _with_files(value, there, key)
            for key, value in model.items()
        }
    if isinstance(model, list):
        return [_with_files(value, there) for value in model]
    return model


def _own_packages(work: Work) -> Iterator[Path]:
    """Top-level module file or package folder of every module:Class that is not installed."""
    installed = tuple({Path(sysconfig.get_path(key)) for key in ("stdlib", "purelib", "platlib")})
    scenario = Scenario.model_validate_json(work.scenario)
    named = {name for _, name in scenario.own_code()}.union(*map(policy_code, work.policies))
    for top in {name.partition(":")[0].partition(".")[0] for name in named} - {"ev_marl", "__main__"}:
        spec = importlib.util.find_spec(top)
        if spec is None:
            continue
        places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
        for path in map(Path, places):
            if path.exists() and not any(path.is_relative_to(folder) for folder in installed):
                yield path


def _source(package: Path) -> dict[str, bytes]:
    """Files of a module or package, by path inside the bundle."""
    if package.is_file():
        return {f"{CODE}/{package.name}": package.read_bytes()}
    found: dict[str, bytes] = {}
    size_mb = 0.0
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            size_mb += path.stat().st_size / 1e6
            if size_mb > LARGEST_PACKAGE_MB:
                raise RunError(
                    f"{package} holds more than {LARGEST_PACKAGE_MB:g} MB, too much to send to other machines; "
                    "install it there and here, or move its code into a package of its own"
                )
            found[f"{CODE}/{package.name}/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    return found
