"""What a study file says: cases, each a scenario with a coordinator, and the policies that are compared in them.

Comes in: YAML, read and checked like a scenario. Goes out: a frozen `Study`. Names and paths are those of the command
line, seen from the current folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ev_marl.compare.baseline import BEST
from ev_marl.compare.day import UNCONTROLLED
from ev_marl.compare.tuning import ranges_of
from ev_marl.policies import make_policy
from ev_marl.policies.make import members, read_learned
from ev_marl.scenario import Scenario, ScenarioError, load_scenario
from ev_marl.scenario.base import FileModel, Model, fault
from ev_marl.scenario.loader import validate_document
from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document, read_document
from ev_marl.scenario.schema import CoordinatorChoice, Name
from ev_marl.scenario.schema.policies import PolicyText, policies_of, policy_code
from ev_marl.scenario.units import WHOLE, Count
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.support.errors import EvMarlError

TUNED = ", tuned"


class Case(Model):
    """One scenario under one coordinator."""

    name: str = ""
    """What the case is called; left out, scenario and coordinator."""
    scenario: str
    """Name of a shipped scenario, or a YAML file."""
    coordinator: CoordinatorChoice | None = None
    """Instead of the scenario's."""
    policies: tuple[PolicyText, ...] = ()
    """Policies of this case besides those of the study."""
    learned: dict[str, PolicyText] = Field(default_factory=dict)
    """Learned policies: what each is called in the tables, and `rllib:PATH` or `central:PATH`."""

    def load(self, *, trust: bool) -> Scenario:
        """The scenario, with the case's coordinator; `trust`: whether code that it names may be run."""
        scenario = load_scenario(self.scenario, trust=trust)
        scenario.check_trust()
        if self.coordinator is None:
            return scenario
        make_coordinator(self.coordinator, trust=trust)
        return scenario.with_coordinator(self.coordinator)


class Study(FileModel):
    """Policies in several cases: what one table and one figure show."""

    name: Name
    """Short name."""
    about: str = ""
    """What it is for, in a sentence or two."""
    days: Count = 100
    """Test days of each case."""
    validation_days: Count = 100
    """Days on which the baseline is chosen."""
    tuning_days: Count = 60
    """Training days on which constants are tuned."""
    seed: Annotated[int, Field(ge=0), WHOLE] = 0
    """Which days."""
    policies: Annotated[tuple[PolicyText, ...], Field(min_length=1)]
    """Policies of every case: names, `name(option=...)`, or module:Class."""
    tune: tuple[PolicyText, ...] = ()
    """Policies that join with their constants tuned for each case, as `ev-marl tune` does."""
    baseline: str = BEST
    """The policy that the learned ones are measured against; `best`: of those that were not learned and know
    only their own station (or exchange messages, where a learned one does), the one that earns most on validation
    days."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]
    """What is compared."""

    @model_validator(mode="after")
    def _check(self) -> Study:
        names = [self.case_name(case) for case in self.cases]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise fault("cases", f"two cases are called '{twice}'; give each a name")
        return self

    def plug_ins(self) -> Iterator[tuple[KeyPath, object]]:
        """Everything in the study itself that can name code: plug-ins with their options, and the key of each."""
        yield from policies_of(("policies",), self.policies)
        yield from policies_of(("tune",), self.tune)
        for i, case in enumerate(self.cases):
            yield ("cases", i, "coordinator"), case.coordinator
            yield from policies_of(("cases", i, "policies"), case.policies)
            yield from ((("cases", i, "learned", name), policy_code(spec)) for name, spec in case.learned.items())

    @staticmethod
    def case_name(case: Case) -> str:
        """What a case is called."""
        coordinator = case.coordinator
        under = coordinator if isinstance(coordinator, str) else coordinator.name if coordinator else ""
        return case.name or ", ".join(filter(None, [Path(case.scenario).stem, under]))

    def rows(self, case: Case, tuned: dict[str, str]) -> dict[str, str]:
        """What is compared in a case: name in the tables -> policy; `tuned` has the tuned form of each of `tune`."""
        found = {name: name for name in (UNCONTROLLED, *self.policies, *case.policies)}
        found.update({f"{name}{TUNED}": tuned[name] for name in self.tune})
        found.update(case.learned)
        return {name: str(read_learned(spec) or spec) for name, spec in found.items()}


def load_study(path: str | Path, *, trust: bool = False) -> Study:
    """Read a study.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    trust : bool
        Whether custom code that it, or a scenario of it, names as module:Class may be run.

    Raises
    ------
    ScenarioError
        If there is anything wrong with it, or with a scenario or policy that it names; all problems at once, each with
        file, line and key.
    """
    document = read_document(Path(path), lambda name: None)
    study = validate_document(document, Study).read_from(document.places, trust=trust)
    study.check_trust()
    problems = list(_problems(study, document))
    if problems:
        raise ScenarioError(problems)
    return study


def _problems(study: Study, document: Document) -> Iterator[Problem]:
    """What is wrong with the scenarios and policies that are named."""
    for i, name in enumerate(study.policies):
        yield from _policy_problems(study, document, ("policies", i), name, "plain")
    for i, name in enumerate(study.tune):
        yield from _policy_problems(study, document, ("tune", i), name, "tuned")
    for i, case in enumerate(study.cases):
        here: KeyPath = ("cases", i)
        try:
            case.load(trust=study.trusted)
        except ScenarioError as error:
            yield document.problem((*here, "scenario"), f"found '{case.scenario}': {error}")
        except EvMarlError as error:
            yield document.problem((*here, "coordinator"), str(error))
        for k, name in enumerate(case.policies):
            yield from _policy_problems(study, document, (*here, "policies", k), name, "plain")
        for label, name in case.learned.items():
            yield from _policy_problems(study, document, (*here, "learned", label), name, "learned")
        known = study.rows(case, {name: name for name in study.tune})
        if study.baseline not in (BEST, *known):
            message = f"found '{study.baseline}'; expected {BEST}, or one of {', '.join(known)}"
            yield document.problem(("baseline",), message)


def _policy_problems(
    study: Study, document: Document, path: KeyPath, name: str, kind: Literal["plain", "tuned", "learned"]
) -> Iterator[Problem]:
    try:
        if kind == "learned" and read_learned(name) is None:
            yield document.problem(path, f"found '{name}'; expected rllib:PATH or central:PATH")
            return
        for member in members(name):
            make_policy(member, trust=study.trusted)
        if kind == "tuned":
            ranges_of(name, {})
    except EvMarlError as error:
        yield document.problem(path, str(error))
