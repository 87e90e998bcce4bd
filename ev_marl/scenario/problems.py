"""What is wrong with a scenario: every problem with its file, line and key, raised together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ev_marl.support.errors import EvMarlError

KeyPath = tuple[str | int, ...]

MOST_PROBLEMS = 100  # that one error lists


def key_text(path: KeyPath) -> str:
    """A key path as people read it: `site.groups[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of a scenario."""

    file: str
    line: int
    key: str
    message: str  # what was found, what is allowed

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}"


class Places(dict[KeyPath, tuple[str, int]]):
    """File and line of every key. Any two are equal, so that scenarios are compared by content, not by place."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def of(self, path: KeyPath) -> tuple[str, int]:
        """File and line of the nearest key at or above `path`."""
        for length in range(len(path), -1, -1):
            if path[:length] in self:
                return self[path[:length]]
        return "", 0

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at a key."""
        return Problem(*self.of(path), key_text(path), message)

    @contextmanager
    def blamed(self, *path: str | int) -> Iterator[None]:
        """Turn an error in this block into a ScenarioError at a key, with its file and line.

        For faults that are found after reading, when the names in a scenario are looked up.
        """
        try:
            yield
        except ScenarioError:
            raise  # it says where
        except EvMarlError as error:
            raise ScenarioError([self.problem(path, str(error))]) from error


class ScenarioError(EvMarlError, ValueError):
    """A scenario with faults.

    Attributes
    ----------
    problems : tuple of Problem
        All of them, by file and line.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
