"""The folder of a run: a manifest that says which run it is, and one file for every finished day.

Files appear complete or not at all, so a run that was stopped goes on where it was. A folder only ever belongs to one
run: another is refused, with what differs.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ev_marl.compare.day import OPTIMUM, DayResult, Work, run_day
from ev_marl.compare.records import Record
from ev_marl.optimum import TIME_LIMIT_S
from ev_marl.policies.make import members, read_learned
from ev_marl.scenario import Scenario
from ev_marl.scenario.reading import PLUG_IN_KEYS
from ev_marl.scenario.schema.policies import policy_code
from ev_marl.support.errors import RunError, UnknownNameError
from ev_marl.support.files import is_empty, remove_parts, write_atomically
from ev_marl.support.package import __version__
from ev_marl.support.registry import own_class
from ev_marl.support.values import listed
from ev_marl.world.seeds import Split, day_seeds
from ev_marl.world.track_files import track_paths

MANIFEST = "manifest.json"
DAYS = "days"
_PACKAGES = ("numpy", "numba", "pyomo", "highspy", "pettingzoo")
_NETWORK_PACKAGES = ("pandapower", "simbench", "lightsim2grid", "power-grid-model")
_SHOWN_DIFFERENCES = 8
_USUAL = {"exact_levels": False, "time_limit": TIME_LIMIT_S}


class Manifest(Record):
    """Which run it is, and how it was asked for."""

    format: Literal["ev_marl run"] = "ev_marl run"
    format_version: Literal[1] = 1
    ev_marl: str
    scenario: dict[str, Any]
    files: dict[str, str]
    """SHA-256 of every data file that the scenario names, of the source of every module:Class, and of every learned
    policy."""
    policies: tuple[str, ...]
    """What runs; of a learned policy, each training seed by itself."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Learned policies with several training seeds: as asked for, and what runs for it."""
    places: dict[str, str] = Field(default_factory=dict)
    """Absolute paths of the learned policies."""
    tracks: tuple[str, ...] = ()
    """SHA-256 of the track files that are the days; empty where days are drawn."""
    track_files: tuple[str, ...] = ()
    """Their absolute paths."""
    exact_levels: bool = False
    """Whether levels of ports are integers in the optimum."""
    time_limit: float = TIME_LIMIT_S
    """Of the optimum of a day [s]."""
    seed: int
    split: Split
    source: str
    """Name or file of the scenario as it was given, empty where it was made in Python."""
    versions: dict[str, str]

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if not isinstance(self.scenario.get("name"), str):
            raise ValueError("the scenario has no name")
        if not {name for members in self.groups.values() for name in members} <= set(self.policies):
            raise ValueError("a group of policies has a member that does not run")
        return self

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        policies: tuple[str, ...],
        seed: int,
        split: Split = "test",
        source: str = "",
        tracks: Sequence[Path] = (),
        *,
        exact_levels: bool = False,
        time_limit: float = TIME_LIMIT_S,
    ) -> Manifest:
        """The manifest of a run that starts now."""
        resolved = scenario.model_dump(mode="json")
        named = {name for _, name in scenario.own_code()}.union(*map(policy_code, policies))
        entries = expanded(policies)
        runs = tuple(dict.fromkeys(name for members in entries.values() for name in members))
        learned = {name: spec for name in runs if (spec := read_learned(name)) is not None}
        return cls(
            ev_marl=__version__,
            scenario=resolved,
            files={
                **file_digests(resolved),
                **{name: _source_hash(name) for name in sorted(named)},
                **{name: spec.digest() for name, spec in learned.items()},
            },
            policies=runs,
            groups={name: members for name, members in entries.items() if members != (name,)},
            places={name: str(spec.absolute) for name, spec in learned.items()},
            tracks=tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in tracks),
            track_files=tuple(str(path.absolute()) for path in tracks),
            exact_levels=exact_levels,
            time_limit=time_limit,
            seed=seed,
            split=split,
            source=source,
            versions=versions_of(_PACKAGES if scenario.grid is None else (*_PACKAGES, *_NETWORK_PACKAGES)),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this run and no other.

        The number of days is not in it, so a run can be extended; nor are the versions of other packages, nor where
        learned policies and track files are, since their content is. How the optimum is solved is in it where it is not
        as usual.
        """
        usual = {name for name in ("exact_levels", "time_limit") if getattr(self, name) == _USUAL[name]}
        return self.model_dump(mode="json", exclude={"source", "versions", "places", "track_files", *usual})

    def day_seeds(self, n: int) -> list[int]:
        """What stands for the first `n` days: their seeds, or numbers made of their track files' content."""
        if self.tracks:
            return [int(content[:12], 16) for content in self.tracks[:n]]
        return day_seeds(self.seed, n, self.split)

    @property
    def asked(self) -> tuple[str, ...]:
        """Policies as they were asked for: one name for all training seeds of a policy."""
        of_group = {member: name for name, members in self.groups.items() for member in members}
        return tuple(dict.fromkeys(of_group.get(name, name) for name in self.policies))

    def members(self, name: str) -> tuple[str, ...]:
        """What runs for a policy that was asked for: its training seeds, or itself."""
        return self.groups.get(name, (name,))

    @property
    def short_hash(self) -> str:
        """Eight letters that stand for the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]

    def work(self, *, trust: bool, trust_policies: bool) -> Work:
        """What its days share.

        Parameters
        ----------
        trust : bool
            Whether code that the scenario names may be run.
        trust_policies : bool
            Whether code that the policies name may be run.
        """
        files = tuple(zip(self.day_seeds(len(self.tracks)), self.track_files, strict=True))
        scenario = json.dumps(self.scenario, sort_keys=True)
        return Work(
            scenario,
            self.policies,
            tuple(self.places.items()),
            files,
            trust,
            trust_policies,
            self.exact_levels,
            self.time_limit,
        )


def finish_day(folder: Path, work: Work, index: int, seed: int) -> None:
    """Run a day and keep it; its file appears complete or not at all.

    Raises
    ------
    RunError
        If it fails; the message says how to repeat it.
    """
    try:
        text = run_day(work, index, seed).model_dump_json()
    except Exception as error:
        raise day_failure(folder, work, index, seed, error) from error
    write_atomically(day_path(folder, index), text)


def day_failure(folder: Path, work: Work, index: int, seed: int, error: BaseException) -> RunError:
    """Why a run stops when a day fails, and how to repeat that day."""
    own = work.trusted or any(map(policy_code, work.policies))
    trust = ", trust=True" if own else ""
    return RunError(
        f"day {index} (seed {seed}) failed: {type(error).__name__}: {error}\n"
        f"Finished days are kept in {folder}. To see this day fail by itself:\n"
        f'  python -c "from ev_marl.compare import rerun_day; rerun_day({str(folder)!r}, {index}{trust})"'
    )


def expanded(policies: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What runs for each policy: the training seeds of a learned one, anything else as it is.

    Raises
    ------
    OptionError
        If a learned policy is not where it is said to be.
    """
    return {str(read_learned(name) or name): members(name) for name in policies}


class RunFolder:
    """The folder of one run.

    Parameters
    ----------
    path : Path
        Where; made if it does not exist.
    manifest : Manifest
        Which run. Where the folder has one already, it must be the same run.

    Raises
    ------
    RunError
        If the folder belongs to another run, or holds something that is not a run.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose a folder for the run with --out")
        if (path / MANIFEST).is_file():
            self.manifest = read_manifest(path)
            self._check_same(manifest)
        else:
            if path.exists() and not is_empty(path):
                raise RunError(
                    f"{path} holds files but is not the folder of a run (there is no {MANIFEST}); "
                    "choose an empty or a new folder with --out"
                )
            self.manifest = manifest
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / MANIFEST, manifest.model_dump_json(indent=2))
        (path / DAYS).mkdir(exist_ok=True)
        for folder in (path, path / DAYS):
            remove_parts(folder)

    def missing(self, seeds: list[int]) -> list[tuple[int, int]]:
        """Days that are not finished, as (index, seed)."""
        return [(index, seed) for index, seed in enumerate(seeds) if not day_path(self.path, index).is_file()]

    def read(self, seeds: list[int]) -> tuple[DayResult, ...]:
        """The finished days.

        Raises
        ------
        RunError
            If a file is missing or broken.
        """
        return tuple(self._read_day(index, seed) for index, seed in enumerate(seeds))

    def _read_day(self, index: int, seed: int) -> DayResult:
        path = day_path(self.path, index)
        try:
            day = DayResult.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{path} is gone; run the same command again") from error
        except ValidationError as error:
            raise read_broken(path, error) from error
        if (fault := self._fault(day)) is not None:
            raise read_broken(path, fault)
        if (day.index, day.seed) != (index, seed):
            raise RunError(
                f"{path} holds day {day.index} of seed {day.seed}, not day {index} of seed {seed}: delete it and run "
                "the same command again"
            )
        return day

    def _fault(self, day: DayResult) -> str | None:
        """What a day's file holds that no run writes."""
        names = [entry.policy for entry in day.policies]
        if sorted(names) != sorted({OPTIMUM, *self.manifest.policies}):
            return f"it is of the policies {listed(names)}"
        numbers = [day.bound, day.achieved, *(entry.team_return for entry in day.policies)]
        if not all(map(math.isfinite, numbers)):
            return "a return or bound is not finite"
        shapes = {tuple(map(len, rows)) for rows in (day.limit_kw, day.base_load_kw)}
        shapes |= {tuple(map(len, entry.group_kw)) for entry in day.policies}
        if shapes != {(len(day.local_hour),) * len(day.watched_groups)}:
            return "its groups and steps do not fit each other"
        return None

    def _check_same(self, wanted: Manifest) -> None:
        found = differences(_as_read_today(self.manifest.identity), wanted.identity)
        if not found:
            return
        raise RunError(
            f"{self.path} belongs to another run, and is left as it is. What differs:\n{found}\n"
            "Choose another folder with --out, or leave --out away: then every run has a folder of its own."
        )


def _as_read_today(identity: dict[str, Any]) -> dict[str, Any]:
    """The identity of a run with what scenarios could not say yet when it was made: that had no effect then."""
    try:
        scenario = Scenario.model_validate(identity["scenario"])
    except ValidationError:
        return identity  # what differs shows
    return {**identity, "scenario": scenario.model_dump(mode="json")}


def read_broken(path: Path, why: object) -> RunError:
    """What is said of a result that cannot be read."""
    return RunError(f"{path} is broken: delete it and run the same command again ({why})")


def day_path(folder: Path, index: int) -> Path:
    """File of a day."""
    return folder / DAYS / f"day-{index:05d}.json"


def read_manifest(folder: Path) -> Manifest:
    """Manifest of a run.

    Raises
    ------
    RunError
        If there is none, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not the folder of a run: there is no {MANIFEST}") from error
    except ValidationError as error:
        raise RunError(f"{path} is not the manifest of a run that this program can read: {error}") from error


def differences(there: Any, here: Any) -> str:
    """What differs between two values from JSON, a line for each of the first few; empty where nothing does."""
    found = [f"  {key}: {old} there, {new} here" for key, old, new in _differences(there, here)]
    more = len(found) - _SHOWN_DIFFERENCES
    return "\n".join(found[:_SHOWN_DIFFERENCES] + ([f"  and {more} more"] if more > 0 else []))


def _differences(there: Any, here: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """The key, what is there, and what is here."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            inner = f"{key}.{name}" if key else name
            yield from _differences(there.get(name, "nothing"), here.get(name, "nothing"), inner)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{key}[{index}]")
    elif there != here:
        yield key, _short(there), _short(here)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def named_files(model: Any, at: str = "") -> Iterator[str]:
    """Every data file that a resolved scenario names: CSV files, the network where it is a file, folders of tracks.

    `at` is the key at which the model stands.
    """
    if isinstance(model, dict):
        for key, value in model.items():
            if names_file(key, at):
                yield from () if value is None else (value,)
            elif key not in PLUG_IN_KEYS:
                yield from named_files(value, key)
    elif isinstance(model, list):
        for value in model:
            yield from named_files(value)


def file_digests(model: Any) -> dict[str, str]:
    """SHA-256 of every data file that a resolved scenario names, those of its folders included, by path."""
    paths = sorted({str(file) for path in named_files(model) for file in files_of(Path(path))})
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths}


def names_file(key: str, at: str) -> bool:
    """Whether a key of a resolved scenario, below the key `at`, has the path of a data file."""
    return key == "csv" or (at, key) in (("network", "file"), ("outlook", "tracks"), ("", "tracks"))


def files_of(path: Path) -> list[Path]:
    """The file itself, or the track files of a folder."""
    return track_paths([path]) if path.is_dir() else [path]


def _source_hash(name: str) -> str:
    """SHA-256 of the file that a plug-in's module is read from; empty where it has none, or is no such thing."""
    try:
        origin = getattr(inspect.getmodule(own_class(f"'{name}'", name, trust=True)), "__file__", None)
    except UnknownNameError:
        return ""  # a text in an option that only looks like code; otherwise there is an error when it is needed
    return hashlib.sha256(Path(origin).read_bytes()).hexdigest() if origin else ""


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python, of the platform and of packages, as text."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
