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
