"""The folder of a training result: configuration, progress, and the best policy of each seed.

    run.json                    configuration, scenario, versions, git revision; written first
    validation.json             bounds of the validation days
    seed_0/policy.json          the policy that scored best on the validation days, with weights.npz beside it
    seed_0/last/                the last policy that was scored
    seed_0/progress.csv         one row for each iteration
    seed_0/tensorboard/         the same for TensorBoard
    seed_0/sittings.jsonl       one line each time that training was started or resumed
    seed_0/checkpoint-000040/   RLlib's state, to resume after an interruption; only the last one is kept
    seed_0/finished.json        summary, written when the seed is finished

Nothing of RLlib is imported here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ev_marl.compare.folder import differences, file_digests, versions_of
from ev_marl.policies.make import SEED_FOLDER
from ev_marl.rl.config import TrainingConfig
from ev_marl.scenario import Scenario
from ev_marl.support.errors import RunError, TrustError
from ev_marl.support.files import FileError, is_empty, parse_json, read_text, remove_parts, write_atomically
from ev_marl.support.package import FOLDER, __version__
from ev_marl.support.signature import is_signed_here, sign

try:
    import fcntl
except ImportError:  # not on Windows: nothing prevents two processes from training the same seed there
    fcntl = None  # type: ignore[assignment]

RUN = "run.json"
VALIDATION = "validation.json"
PROGRESS = "progress.csv"
SITTINGS = "sittings.jsonl"
FINISHED = "finished.json"
MOST_BYTES = 200_000_000  # of a JSON file in it
STATE = "training.json"  # inside a checkpoint: the counters, which RLlib does not have
_PACKAGES = ("numpy", "numba", "torch", "ray", "gymnasium")
# What may differ between the runs of one folder: the seeds, and when they stop.
_FREE = {"seeds", "description", "stop", "checkpoint_minutes"}


def default_folder(config: TrainingConfig, scenario: Scenario) -> Path:
    """`runs/<scenario>-<name>-<hash>`: the same command finds the same folder."""
    whole = json.dumps(_identity(config, scenario), sort_keys=True)
    return Path("runs") / f"{scenario.name}-{config.name}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


class TrainingFolder:
    """Opens the folder of a result, or makes it.

    Parameters
    ----------
    path : Path
        The folder.
    config, scenario
        What is trained.
    command : sequence of str
        The command line, stored so that the run can be repeated.

    Raises
    ------
    RunError
        If the folder has other content.
    """

    def __init__(self, path: Path, config: TrainingConfig, scenario: Scenario, command: Sequence[str] = ()) -> None:
        self.path = path
        self.command = list(command)
        run = path / RUN
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose a folder for the result with --out")
        if run.is_file():
            _check_same(run, _identity(config, scenario))
        elif path.is_dir() and not is_empty(path):
            raise RunError(f"{path} is not empty and holds no training run; choose another folder with --out")
        else:
            path.mkdir(parents=True, exist_ok=True)
            record = {
                "command": self.command,
                "config": config.model_dump(mode="json"),
                "scenario": scenario.model_dump(mode="json"),
                "files": file_digests(scenario.model_dump(mode="json")),
                "versions": _versions(),
                "git_revision": _git_revision(),
            }
            write_atomically(run, _json(record))
        remove_parts(path)

    def seed(self, seed: int) -> SeedFolder:
        """The folder of one training seed."""
        folder = self.path / SEED_FOLDER.format(seed)
        folder.mkdir(exist_ok=True)
        return SeedFolder(folder)


@dataclass(frozen=True)
class SeedFolder:
    """The files of one training seed."""

    path: Path

    @contextmanager
    def sitting(self, command: Sequence[str]) -> Iterator[None]:
        """Lock the folder while training, and record the start.

        Raises
        ------
        RunError
            If another process has locked it.
        """
        with (self.path / SITTINGS).open("a", encoding="utf-8") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise RunError(f"another process is training in {self.path}; wait for it, or stop it") from error
            record = {
                "began": datetime.now(UTC).isoformat(timespec="seconds"),
                "checkpoint": self.checkpoint.name if self.checkpoint else None,
                "command": list(command),
                "git_revision": _git_revision(),
                "versions": _versions(),
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            yield

    @property
    def finished(self) -> dict[str, Any] | None:
        """The summary, if the seed is finished."""
        file = self.path / FINISHED
        return read_record(file) if file.is_file() else None

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary."""
        write_atomically(self.path / FINISHED, _json(dict(summary)))

    @property
    def checkpoint(self) -> Path | None:
        """The last complete checkpoint."""
        complete = sorted(path for path in self.path.glob("checkpoint-*") if (path / STATE).is_file())
        return complete[-1] if complete else None

    def check_trust(self, *, trust: bool) -> None:
        """Refuse to continue from a checkpoint that somebody else wrote, since opening it can run code.

        Raises
        ------
        TrustError
            If the checkpoint is not signed by this user, and `trust` is not given.
        """
        checkpoint = self.checkpoint
        if checkpoint is not None and not trust and not is_signed_here(checkpoint):
            raise TrustError(
                f"{checkpoint} was not written by you on this machine, or has been changed; continuing opens pickle "
                "files, which can run code. Agree with --trust, in Python trust=True; or delete it to start again"
            )

    def new_checkpoint(self) -> Path:
        """Path to write the next checkpoint to; it is not used until `keep` is called."""
        part = self.path / ".checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        return part

    def keep(self, part: Path, iteration: int, state: Mapping[str, Any]) -> None:
        """Make a written checkpoint the current one, and remove the older ones."""
        write_atomically(part / STATE, json.dumps(dict(state)))
        sign(part)
        target = self.path / f"checkpoint-{iteration:06d}"
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        for older in self.path.glob("checkpoint-*"):
            if older != target:
                shutil.rmtree(older)

    def start_progress(self, columns: Sequence[str], until: int) -> None:
        """Make the progress file, or remove the rows after iteration `until`."""
        file = self.path / PROGRESS
        rows: list[dict[str, str]] = []
        if file.is_file() and until > 0:
            with file.open(newline="", encoding="utf-8") as lines:
                # An incomplete row, from when the process was killed, is later than any checkpoint.
                rows = [row for row in csv.DictReader(lines) if _whole(row.get("iteration")) <= until]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(file, text.getvalue())

    def add_progress(self, row: Sequence[object]) -> None:
        """Append a row."""
        with (self.path / PROGRESS).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)


def _whole(text: str | None) -> int:
    """A count of a table, 0 where it is none."""
    return int(text) if text and re.fullmatch("[0-9]{1,9}", text) else 0


def read_record(path: Path) -> dict[str, Any]:
    """A JSON file of the folder.

    Raises
    ------
    RunError
        If it is broken.
    """
    try:
        content = parse_json(read_text(path, MOST_BYTES))
        if not isinstance(content, dict):
            raise FileError("this is not a JSON object")
    except FileError as error:
        raise RunError(f"{path}: {error}; delete it and run the same command again") from error
    return content


def _check_same(run: Path, wanted: dict[str, Any]) -> None:
    """Refuse the folder of another run. Keys that newer versions have added take their defaults in older folders."""
    try:
        record = read_record(run)
        trained = TrainingConfig.model_validate(record["config"]), Scenario.model_validate(record["scenario"])
        there = _frozen(*trained, record.get("files", {}))
    except (ValidationError, KeyError, ValueError) as error:
        raise RunError(f"{run} is not the record of a training run, or of another version: {error}") from error
    if found := differences(there, wanted):
        raise RunError(
            f"{run.parent} holds another training run, and was not changed. The differences:\n{found}\n"
            "Choose another folder with --out, or omit --out: then every run has its own folder."
        )


def _identity(config: TrainingConfig, scenario: Scenario) -> dict[str, Any]:
    return _frozen(config, scenario, file_digests(scenario.model_dump(mode="json")))


def _frozen(config: TrainingConfig, scenario: Scenario, files: Mapping[str, str]) -> dict[str, Any]:
    said = {"config": config.model_dump(mode="json", exclude=_FREE), "scenario": scenario.model_dump(mode="json")}
    return {**said, "files": dict(files)} if files else said


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _versions() -> dict[str, str]:
    return {"ev_marl": __version__, **versions_of(_PACKAGES)}


def _git_revision() -> str | None:
    """Git revision of the package's checkout, marked if there are changes; None if it is not in a checkout."""
    folder = FOLDER.parent
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
