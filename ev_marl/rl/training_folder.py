"""The folder of a training result: what was trained, how far it is, and the best policy of each seed.

    run.json                    configuration, scenario, versions, git revision; written first
    seed_0/policy.json          the policy that scored best on the validation days, with weights.npz beside it
    seed_0/progress.csv         one row an iteration
    seed_0/checkpoint-000040/   RLlib's state, to go on after an interruption; only the last one is kept
    seed_0/finished.json        summary, once the seed is done

Nothing of RLlib is imported here.
"""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ev_marl
from ev_marl.compare.folder import write_atomically
from ev_marl.errors import RunError
from ev_marl.rl.config import TrainingConfig
from ev_marl.scenario import Scenario

RUN = "run.json"
PROGRESS = "progress.csv"
FINISHED = "finished.json"
STATE = "training.json"  # inside a checkpoint: what RLlib does not know
_PACKAGES = ("numpy", "numba", "torch", "ray", "gymnasium")
# What may differ between the runs of one folder: which seeds there are.
_FREE = ("seeds", "description")


def default_folder(config: TrainingConfig, scenario: Scenario) -> Path:
    """`runs/<scenario>-<name>-<hash>`: the same command finds the same folder."""
    return Path("runs") / f"{scenario.name}-{config.name}-{_identity(config, scenario)[:8]}"


class TrainingFolder:
    """Opens the folder of a result, or makes it.

    Parameters
    ----------
    path : Path
        Where.
    config, scenario
        What is trained.
    command : sequence of str
        The command line, kept for those who want to repeat it.

    Raises
    ------
    RunError
        If the folder holds something else.
    """

    def __init__(self, path: Path, config: TrainingConfig, scenario: Scenario, command: Sequence[str] = ()) -> None:
        self.path = path
        identity = _identity(config, scenario)
        run = path / RUN
        if run.is_file():
            there = json.loads(run.read_text(encoding="utf-8"))
            if there.get("identity") != identity:
                keys = ", ".join(_differences(there.get("config", {}), config.model_dump(mode="json")))
                raise RunError(
                    f"{path} holds another training run"
                    + (f" (it differs in: {keys})" if keys else " (on another scenario)")
                    + "; choose another folder with --out"
                )
        elif path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and holds no training run; choose another folder with --out")
        else:
            path.mkdir(parents=True, exist_ok=True)
            record = {
                "identity": identity,
                "command": list(command),
                "config": config.model_dump(mode="json"),
                "scenario": scenario.model_dump(mode="json"),
                "versions": _versions(),
                "git_revision": _git_revision(),
            }
            write_atomically(run, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def seed(self, seed: int) -> SeedFolder:
        """The part of one training seed."""
        folder = self.path / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        return SeedFolder(folder)


@dataclass(frozen=True)
class SeedFolder:
    """What one training seed leaves behind."""

    path: Path

    @property
    def finished(self) -> dict[str, Any] | None:
        """The summary, if the seed is done."""
        file = self.path / FINISHED
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary."""
        write_atomically(self.path / FINISHED, json.dumps(dict(summary), indent=1) + "\n")

    @property
    def checkpoint(self) -> Path | None:
        """The last complete checkpoint."""
        complete = sorted(path for path in self.path.glob("checkpoint-*") if (path / STATE).is_file())
        return complete[-1] if complete else None

    def new_checkpoint(self) -> Path:
        """An empty folder to write the next checkpoint to; `keep` makes it count."""
        part = self.path / ".checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        return part

    def keep(self, part: Path, iteration: int, state: Mapping[str, Any]) -> None:
        """Make a written checkpoint the last one, and remove those before it."""
        write_atomically(part / STATE, json.dumps(dict(state)))
        target = self.path / f"checkpoint-{iteration:06d}"
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        for older in self.path.glob("checkpoint-*"):
            if older != target:
                shutil.rmtree(older)

    def start_progress(self, columns: Sequence[str], until: int) -> None:
        """Make the progress file, or cut off what came after iteration `until`."""
        file = self.path / PROGRESS
        rows: list[list[str]] = []
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as lines:
                rows = [row for row in list(csv.reader(lines))[1:] if int(row[0]) <= until]
        text = "\n".join([",".join(columns), *(",".join(row) for row in rows)]) + "\n"
        write_atomically(file, text)

    def add_progress(self, row: Sequence[object]) -> None:
        """One more row."""
        with (self.path / PROGRESS).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)


def _identity(config: TrainingConfig, scenario: Scenario) -> str:
    kept = {key: value for key, value in config.model_dump(mode="json").items() if key not in _FREE}
    whole = json.dumps([kept, scenario.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    return [key for key in here if key not in _FREE and there.get(key) != here[key]]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform(), "ev_marl": ev_marl.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """Revision of the checkout that the package runs from, with a mark if there are changes; None outside of one."""
    folder = Path(ev_marl.__path__[0]).parent
    if not (folder / ".git").exists():
        return None
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip()
