"""`import ev_marl` stays light, and its names are where they should be."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ev_marl

HEAVY = ("ray", "torch", "pandapower", "pyomo", "matplotlib", "numba", "pandas", "pyarrow")


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, ev_marl; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_environment_loads_neither_pyomo_nor_matplotlib() -> None:
    code = (
        "import sys, ev_marl; env = ev_marl.parallel_env('tiny'); env.reset(seed=0);"
        "print(*[m for m in ('ray', 'torch', 'pandapower', 'pyomo', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", ev_marl.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(ev_marl, name) is not None
    assert name in dir(ev_marl)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'paralel_env'"):
        _ = ev_marl.paralel_env  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'parallel_enf'"):
        _ = ev_marl.env.parallel_enf  # type: ignore[attr-defined]


def test_the_room_env_is_callable_and_a_package() -> None:
    from ev_marl.env.aec import env  # noqa: PLC0415  # the import itself must not hide the callable room

    assert ev_marl.env("tiny").possible_agents == env("tiny").possible_agents
    assert ev_marl.env.parallel_env is ev_marl.parallel_env  # type: ignore[attr-defined]
