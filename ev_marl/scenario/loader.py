"""From a YAML file, or the name of a shipped scenario, to a `Scenario`."""

from __future__ import annotations

from pathlib import Path

import yaml

import ev_marl
from ev_marl.scenario.schema import Scenario


def shipped_scenarios() -> dict[str, Path]:
    """Scenarios that come with the package, by name."""
    package = Path(ev_marl.__path__[0])
    for folder in (package / "scenarios", package.parent / "scenarios"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario by name or path."""
    shipped = shipped_scenarios()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    with path.open() as file:
        return Scenario.model_validate(yaml.safe_load(file))
