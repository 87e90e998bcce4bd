"""SimBench networks and their year of profiles, read once and kept in the user's cache folder.

Reading SimBench's own files takes seconds and hundreds of megabytes; what one network needs of them is small. A code
comes in, pandapower's tables or arrays go out. SimBench's data are under the Open Database License (ODbL 1.0); the
cache is a copy for the user's own machine.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandapower

from ev_marl.grid.model.network_json import read_network
from ev_marl.support.errors import NetworkError, how_to_install
from ev_marl.support.files import FileError, is_file, read_arrays
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown

Kept = TypeVar("Kept")

CACHE_VARIABLE = "EV_MARL_CACHE"
STEPS_OF_THE_YEAR = 366 * 96  # 2016, in quarters of an hour
_FORMAT = "2"  # of what is kept; another number leaves older copies alone


@dataclass(frozen=True)
class SimbenchProfiles:
    """Relative profiles of one network; Y quarters of an hour, L loads, S static generators, storages among them."""

    load_p: np.ndarray  # float64 (Y, n)  share of the load's own active power
    load_q: np.ndarray  # float64 (Y, n)  share of its own reactive power
    generator_p: np.ndarray  # float64 (Y, m)
    load_profile: np.ndarray  # int64 (L,)  column of each load, −1: it has none
    generator_profile: np.ndarray  # int64 (S,)
    load_names: tuple[str, ...]  # (n,) SimBench's names of the profiles


def cache_folder() -> Path:
    """Where copies are kept: `EV_MARL_CACHE`, or `ev_marl` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ev_marl"


def simbench_network(code: str) -> Any:
    """A SimBench network without its profiles.

    Raises
    ------
    NetworkError
        If there is no such code, or SimBench is not installed.
    """
    return _kept(code, "network.json", read_network)


@lru_cache(maxsize=4)
def simbench_profiles(code: str) -> SimbenchProfiles:
    """The profiles of a SimBench network's loads and static generators.

    Raises
    ------
    NetworkError
        If there is no such code, or SimBench is not installed.
    """
    return _kept(code, "profiles.npz", _profiles)


def _kept(code: str, name: str, read: Callable[[Path], Kept]) -> Kept:
    """What a file in the cache holds; a copy that is missing or damaged is made anew."""
    path = _folder(code) / name
    if is_file(path):
        try:
            return read(path)
        except NetworkError:
            path.unlink()
    _fill(code)
    return read(path)


def _profiles(path: Path) -> SimbenchProfiles:
    try:
        file = read_arrays(path)
        return SimbenchProfiles(
            file["load_p"],
            file["load_q"],
            file["generator_p"],
            file["load_profile"],
            file["generator_profile"],
            tuple(file["load_names"].tolist()),
        )
    except FileError as error:
        raise NetworkError(f"{path}: {error}") from error
    except KeyError as error:
        raise NetworkError(f"{path}: there is no array {error}") from error


def _folder(code: str) -> Path:
    if not re.fullmatch(r"[\w.-]{1,100}", code):  # it becomes the name of a folder
        raise NetworkError(f"SimBench has no network {shown(code)}")
    try:
        return cache_folder() / "simbench" / f"{version('simbench')}-{_FORMAT}" / code
    except ImportError:
        raise _missing(code) from None


def _missing(code: str) -> NetworkError:
    return NetworkError(f"network '{code}' needs simbench: {how_to_install('grid')}")


def _fill(code: str) -> None:
    """Read a network with SimBench, and keep what is needed of it."""
    try:
        import simbench  # noqa: PLC0415  only here: importing it takes longer than what is read afterwards
    except ImportError:
        raise _missing(code) from None
    known = simbench.collect_all_simbench_codes()
    if code not in known:
        raise NetworkError(f"SimBench has no network '{code}'.{did_you_mean(code, known)} It has {len(known)} codes")
    with warnings.catch_warnings():  # of SimBench's own making, nothing that a user could change
        warnings.simplefilter("ignore")
        net = simbench.get_simbench_net(code)
        profiles = net.pop("profiles")
        _feed_in(net)
        feeding = {**profiles["renewables"], **profiles["storage"]}  # columns by name
        load_names, load_profile = _columns(net.load.profile)
        generator_names, generator_profile = _columns(net.sgen.profile)
        content: dict[str, Any] = {
            "load_p": _values(profiles["load"], [f"{name}_pload" for name in load_names]),
            "load_q": _values(profiles["load"], [f"{name}_qload" for name in load_names]),
            "generator_p": _values(feeding, generator_names),
            "load_profile": load_profile,
            "generator_profile": generator_profile,
            "load_names": np.array(load_names, dtype=np.str_),
        }
        folder = _folder(code)
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        _put(folder / "profiles.npz", lambda path: path.write_bytes(buffer.getvalue()))
        _put(folder / "network.json", lambda path: pandapower.to_json(net, str(path)))


def _feed_in(net: Any) -> None:
    """Turn storages into static generators with the same profile, in place."""
    for _, row in net.storage.iterrows():
        index = pandapower.create_sgen(
            net,
            row.bus,
            p_mw=-row.p_mw,
            q_mvar=-row.q_mvar,
            sn_mva=row.sn_mva,
            name=row["name"],
            scaling=row.scaling,
            in_service=row.in_service,
            type="PV with battery",
        )
        net.sgen.loc[index, "profile"] = row.profile
    net.storage = net.storage.iloc[:0]


def _columns(profile: Any) -> tuple[list[str], np.ndarray]:
    """Names of the profiles that elements follow, and the position of each element's own."""
    names = sorted({name for name in profile if isinstance(name, str)})
    return names, np.array([names.index(name) if isinstance(name, str) else -1 for name in profile], dtype=np.int64)


def _values(table: Mapping[str, Any], columns: list[str]) -> np.ndarray:
    """Some columns of a table, float64, shape (STEPS_OF_THE_YEAR, n_columns)."""
    values = np.empty((STEPS_OF_THE_YEAR, len(columns)))
    for k, name in enumerate(columns):
        if len(table[name]) != STEPS_OF_THE_YEAR:
            raise NetworkError(f"SimBench's profiles have {len(table[name])} rows, {STEPS_OF_THE_YEAR} are known")
        values[:, k] = table[name]
    return values


def _put(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and move it there, so that nobody ever reads half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    os.close(handle)
    write(Path(temporary))
    os.replace(temporary, path)
