"""What is wrong with a scenario: every problem with its file, line and key, raised together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ev_marl.errors import EvMarlError


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
