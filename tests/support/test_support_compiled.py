"""A first run says that it compiles; a second one is silent, and so is the compilation of other people's kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import importlib.util, sys
from ev_marl.support.compiled import announce_compilation

announce_compilation()
announce_compilation()
for name in sys.argv[2:]:
    spec = importlib.util.spec_from_file_location(name, sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert module.twice(2.0) == 4.0
    assert module.twice(2) == 4
"""

KERNEL = """
from ev_marl.support.compiled import kernel

@kernel
def twice(x):
    return 2 * x
"""


def run(folder: Path, module: str) -> str:
    command = [sys.executable, "-c", SCRIPT, str(folder / "kernels.py"), module]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNEL)
    first = run(tmp_path, "ev_marl.kernels")
    assert first.splitlines() == ["ev_marl: compiling kernels on their first use: some seconds, kept for next time."]
    assert run(tmp_path, "ev_marl.kernels") == ""


def test_silent_about_others(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNEL)
    assert run(tmp_path, "other.kernels") == ""


CALLED = """
from ev_marl.support.compiled import kernel

@kernel
def inner(x):
    return {factor} * x
"""

CALLERS = """
import numpy as np

import called
from called import inner
from ev_marl.support.compiled import kernel

OFFSET = {offset}
TABLE = np.array([0.0, {entry}])

@kernel
def direct(x):
    return inner(x) + OFFSET

@kernel
def through_module(x):
    return called.inner(x) + TABLE[1]

@kernel
def from_below(x):
    return below(x)

@kernel
def below(x):
    return {below} * x
"""

USE = """
import importlib, sys
import callers
from numba.core import event

class Compilations(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass

event.register("numba:compile", Compilations())
answers = [callers.direct(10.0), callers.through_module(10.0), callers.from_below(10.0)]
print(*answers, *sorted(Compilations.names))
"""


def use(folder: Path, **values: float) -> list[str]:
    """The answers of kernels of one file that call those of another, each with its values."""
    given = {"factor": 2.0, "offset": 0.0, "entry": 0.0, "below": 1.0} | values
    (folder / "called.py").write_text(CALLED.format(**given))
    (folder / "callers.py").write_text(CALLERS.format(**given))
    return answers(folder)


def answers(folder: Path) -> list[str]:
    """What the kernels in a folder answer, and which were compiled, in a new process."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # a file that was just written may be as old as its bytecode
    command = [sys.executable, "-c", USE]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_cache_notices_changes_of_what_a_kernel_reaches(tmp_path: Path) -> None:
    everything = ["below", "direct", "from_below", "inner", "through_module"]
    assert use(tmp_path) == ["20.0", "20.0", "10.0", *everything]
    assert use(tmp_path) == ["20.0", "20.0", "10.0"]  # all from the cache
    assert use(tmp_path, factor=3.0) == ["30.0", "30.0", "10.0", "direct", "inner", "through_module"]
    changed = use(tmp_path, factor=3.0, offset=1.0, entry=2.0, below=4.0)
    assert changed == ["31.0", "32.0", "40.0", "below", "direct", "from_below", "through_module"]


def test_cache_notices_that_a_kernel_has_moved_to_another_file(tmp_path: Path) -> None:
    use(tmp_path)
    moved = CALLERS.replace("import called\nfrom called", "import elsewhere as called\nfrom elsewhere")
    (tmp_path / "elsewhere.py").write_text((tmp_path / "called.py").read_text())
    (tmp_path / "called.py").unlink()
    (tmp_path / "callers.py").write_text(moved.format(offset=0.0, entry=0.0, below=1.0))
    assert answers(tmp_path) == ["20.0", "20.0", "10.0", "direct", "inner", "through_module"]
