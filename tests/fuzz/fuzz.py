"""Feeds spoilt files to everything that reads files: `make fuzz`, or `python tests/fuzz/fuzz.py --minutes 9 --seed 7`.

A case passes where the file is taken and then works, or is refused by an error of the package that says where. Any
other exception, a case that takes too long and one that takes too much memory are failures; the file is kept, with
what happened beside it. The same seed spoils the same files in the same way.
"""

from __future__ import annotations

import argparse
import faulthandler
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kinds import KINDS, Kind

from ev_marl.support.errors import EvMarlError

SECONDS = 10.0  # of the processor a case may take, however busy it is
STUCK_SECONDS = 60.0  # after which a case that does not even react is given up, and the process with it
GIGABYTES = 4.0  # a case may take beyond what there was before


class TooLongError(Exception):
    """A case that takes too long."""


@dataclass(frozen=True)
class Failure:
    """A spoilt file that was neither taken nor refused."""

    kind: str
    seed: int
    number: int
    content: bytes
    what: str  # one line
    trace: str

    @property
    def sort(self) -> str:
        """Failures of one cause, more or less: where it was raised."""
        frames = re.findall(r'File "[^"]*?([^/"]+)", line (\d+)', self.trace)
        return f"{self.what.partition(':')[0]} in {':'.join(frames[-1]) if frames else '?'}"

    def save(self, folder: Path) -> Path:
        """Keep the file, with what happened beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.kind}-{self.seed}-{self.number}{KINDS[self.kind].suffix}"
        path.write_bytes(self.content)
        path.with_suffix(path.suffix + ".txt").write_text(f"{self.what}\n\n{self.trace}", encoding="utf-8")
        return path


def spoilt(kind: Kind, examples: Sequence[bytes], seed: int, number: int) -> bytes:
    """The file of one case."""
    rng = np.random.default_rng([seed, number])
    return kind.spoil(rng, examples[int(rng.integers(len(examples)))])


def fuzz(
    kind: Kind, seed: int, numbers: Iterator[int] | range, until: float = float("inf")
) -> Iterator[Failure | None]:
    """Run cases until a moment of `time.monotonic`; one failure or None for each."""
    examples = kind.examples()
    with tempfile.TemporaryDirectory(prefix="ev_marl-fuzz-") as scratch:
        for example in examples:  # kernels are compiled on their first use
            file = Path(scratch) / f"case{kind.suffix}"
            file.write_bytes(example)
            kind.read(file)
            _clear(scratch)
        for number in numbers:
            if time.monotonic() > until:
                return
            content = spoilt(kind, examples, seed, number)
            file = Path(scratch) / f"case{kind.suffix}"
            file.write_bytes(content)
            found = attempt(kind, file)
            _clear(scratch)
            yield None if found is None else Failure(kind.name, seed, number, content, *found)


def _clear(scratch: str) -> None:
    for entry in Path(scratch).iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def attempt(kind: Kind, file: Path) -> tuple[str, str] | None:
    """Read one file; what went wrong, if anything did."""
    try:
        with limits():
            kind.read(file)
    except EvMarlError as error:
        if file.stem not in str(error):
            return f"no place: {str(error)[:200]}", traceback.format_exc()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {str(error)[:200]}", traceback.format_exc()
    return None


@contextmanager
def limits() -> Iterator[None]:
    """Limits of time and memory for what runs in here."""

    def late(signum: int, frame: Any) -> None:
        raise TooLongError(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, late)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(GIGABYTES * 1e9), hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


def main() -> int:
    """The command line; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, shared by the kinds")
    parser.add_argument("--seed", type=int, default=None, help="else the time")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of files, with commas between")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder for files that fail")
    parser.add_argument("--replay", type=Path, help="read this one file again, and show what happens")
    chosen = parser.parse_args()
    if chosen.replay is not None:
        name = next(name for name in sorted(KINDS, key=len, reverse=True) if chosen.replay.name.startswith(name))
        copied = Path(tempfile.mkdtemp()) / f"case{KINDS[name].suffix}"
        shutil.copyfile(chosen.replay, copied)
        KINDS[name].read(copied)
        return 0
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    names = chosen.kinds.split(",")
    failures: Counter[str] = Counter()
    for name in names:
        started, count = time.monotonic(), 0
        until = started + 60.0 * chosen.minutes / len(names)
        told: Counter[str] = Counter()
        for count, failure in enumerate(fuzz(KINDS[name], seed, iter(range(10**9)), until), start=1):  # noqa: B007
            if failure is not None:
                failures[name] += 1
                told[failure.sort] += 1
                if told[failure.sort] == 1:
                    print(f"  {failure.save(chosen.out)}: {failure.what}", flush=True)
        minutes = (time.monotonic() - started) / 60.0
        print(
            f"{name}: {count} cases, {count / minutes:.0f} a minute, {failures[name]} failed (seed {seed})", flush=True
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
