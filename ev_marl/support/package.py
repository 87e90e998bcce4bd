"""The package itself: its version, its folder, and the YAML files that come with it."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"

FOLDER = Path(__file__).parent.parent


def shipped_files(kind: str) -> dict[str, Path]:
    """YAML files of a kind ("scenarios") by name: inside an installed wheel, or beside the package in a checkout."""
    for folder in (FOLDER / kind, FOLDER.parent / kind):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}
