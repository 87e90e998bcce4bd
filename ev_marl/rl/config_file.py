"""Training files: YAML, read and checked like scenarios, with changes from the command line.

The name of a shipped file or a path, and `key=value` texts, come in; a `TrainingConfig` goes out, or all faults of the
file, each with its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ev_marl.env.blocks import BLOCKS
from ev_marl.rl.config import TrainingConfig
from ev_marl.scenario.checks import unknown_name
from ev_marl.scenario.loader import validate_document
from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document, find_file, merge, read_document, read_setting
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.support.package import shipped_files

WHAT = "training file"
_OTHERS = "study"  # names of the other files in that folder begin with this


def shipped_trainings() -> dict[str, Path]:
    """Training files that come with the package, by name."""
    return {name: path for name, path in shipped_files("training").items() if not name.startswith(_OTHERS)}


def load_training(name_or_path: str | Path, changes: Sequence[str] = (), *, trust: bool = False) -> TrainingConfig:
    """Read a training file.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped training file ("ippo"), or path of a YAML file.
    changes : sequence of str
        `key=value` with dots between keys, such as `ppo.epochs=2`, which replace values of the file, as in a variant
        that extends it; values are YAML.
    trust : bool
        Whether code of its own that it names as module:Class may be run. It can be read without, but not used.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems at once, each with file, line and key.
    """
    shipped = shipped_trainings()
    document = read_document(find_file(name_or_path, shipped, WHAT), shipped.get, WHAT)
    for change in changes:
        document = merge(document, read_setting(change, "--set"))
    config = validate_document(document, TrainingConfig, _unknown_names(document))
    return config.read_from(document.places, trust=trust)


def _unknown_names(document: Document) -> Iterator[Problem]:
    """Coordinators and observation blocks that do not exist."""
    yield from unknown_name(document, ("coordinator",), COORDINATORS)
    blocks = document.value(("observation",), None)
    for i, block in enumerate(blocks if isinstance(blocks, list) else ()):
        path: KeyPath = ("observation", i)
        yield from unknown_name(document, (*path, "block") if isinstance(block, dict) else path, BLOCKS)
