"""A short run of the fuzzer over every kind of file; the long one is `make fuzz`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from fuzz import attempt, fuzz
from kinds import KINDS, Kind


@pytest.mark.parametrize("name", KINDS)
def test_spoilt_files_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    failures = [found for found in fuzz(KINDS[name], 2024, range(KINDS[name].n_short)) if found is not None]
    assert not failures, "\n".join(f"{found.save(tmp_path)}: {found.what}" for found in failures)


@pytest.mark.parametrize("name", KINDS)
def test_sound_files_are_taken(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    for k, example in enumerate(kind.examples()[:2]):
        (tmp_path / f"case{k}{kind.suffix}").write_bytes(example)
        kind.read(tmp_path / f"case{k}{kind.suffix}")


def test_the_fuzzer_sees_what_goes_wrong(tmp_path: Path) -> None:
    def read(file: Path) -> None:
        content = file.read_bytes()
        if content == b"error":
            raise ZeroDivisionError("a bug")
        if content == b"memory":
            bytearray(10**13)
        while content == b"time":
            pass

    kind = Kind("own", ".txt", list, lambda rng, content: content, read)
    seen = {}
    for content in ("error", "memory", "sound"):
        (tmp_path / "case.txt").write_text(content)
        seen[content] = attempt(kind, tmp_path / "case.txt")
    assert seen["error"] is not None
    assert seen["error"][0] == "ZeroDivisionError: a bug"
    assert seen["memory"] is not None
    assert seen["memory"][0].startswith("MemoryError")
    assert seen["sound"] is None
