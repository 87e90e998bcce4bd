"""From a YAML file, or the name of a shipped scenario, to a `Scenario`; or to a list of all that is wrong with it.

`validate_document` does the same for files of other kinds (training, studies), given their model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ValidationError, create_model

from ev_marl.scenario.base import Model
from ev_marl.scenario.checks import whole_scenario_problems
from ev_marl.scenario.messages import problems_of
from ev_marl.scenario.problems import Problem, ScenarioError
from ev_marl.scenario.reading import Document, find_file, read_document
from ev_marl.scenario.schema import Scenario
from ev_marl.support.package import shipped_files

M = TypeVar("M", bound=BaseModel)


def shipped_scenarios() -> dict[str, Path]:
    """Scenarios that come with the package, by name."""
    return shipped_files("scenarios")


def load_scenario(
    name_or_path: str | Path, *, trust: bool = False, also: Callable[[Document], Iterable[Problem]] | None = None
) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped scenario ("workplace"), or path of a YAML file.
    trust : bool
        Whether custom code that it names as module:Class may be run. Without, it can be read, but not set up.
    also : callable, optional
        Further checks of the plain data, whose problems are reported with all others.

    Returns
    -------
    Scenario
        Checked; paths of CSV files are absolute.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems at once, each with file, line and key.
    """
    shipped = shipped_scenarios()
    document = read_document(find_file(name_or_path, shipped, "scenario"), shipped.get)
    return _validate(document, trust, () if also is None else also(document))


def as_scenario(scenario: str | Path | Scenario, *, trust: bool = False) -> Scenario:
    """A scenario, or what `load_scenario` takes; with `trust`, custom code that it names may be run."""
    if not isinstance(scenario, Scenario):
        return load_scenario(scenario, trust=trust)
    return scenario.model_copy().read_from(scenario.places, trust=True) if trust else scenario


def scenario_from_dict(data: Mapping[str, Any], *, trust: bool = False) -> Scenario:
    """A scenario from plain data, as a YAML file would give it; paths of files are taken as they are; see
    `load_scenario` for `trust`.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems at once, each with its key.
    """
    return _validate(Document(dict(data)), trust)


def scenario_value(key: str, value: Any) -> Any:
    """One top-level value of a scenario, such as `action`, from plain data instead of a file.

    Raises
    ------
    ScenarioError
        If there is anything wrong with it; all problems at once, each with its key.
    """
    annotations: dict[str, Any] = {key: get_type_hints(Scenario, include_extras=True)[key]}
    model = create_model(key.title(), __base__=Model, **annotations)
    return getattr(validate_document(Document({key: value}), model), key)


def validate_document(document: Document, model: type[M], found: Iterable[Problem] = ()) -> M:
    """What a file says, as a model; or everything that is wrong with it.

    Parameters
    ----------
    document : Document
        See `read_document`.
    model : type
        What the file must be.
    found : iterable of Problem
        Faults that were found in it before, reported with the others.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems at once, each with file, line and key.
    """
    problems = list(found)
    try:
        valid = model.model_validate(document.data)
    except ValidationError as error:
        problems.extend(problems_of(error, model, document))
        raise ScenarioError(problems) from error
    if problems:
        raise ScenarioError(problems)
    return valid


def _validate(document: Document, trust: bool, found: Iterable[Problem] = ()) -> Scenario:
    scenario = validate_document(document, Scenario, [*whole_scenario_problems(document), *found])
    return scenario.read_from(document.places, trust=trust)
