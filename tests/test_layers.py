"""What the contracts in pyproject.toml cannot say: no circle of files, no import by a string, every room in a layer.

And that kernels have few parameters.
"""

from __future__ import annotations

import ast
import importlib.util
import tomllib
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ev_marl"
MOST_PARAMETERS = 12  # of a kernel; what belongs together comes as rows of an array, or as a record


def test_files_import_each_other_in_no_circle() -> None:
    """A file in another package loads that package first. What stands under TYPE_CHECKING is no import."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("ev_marl", exclude_type_checking_imports=True, cache_dir=None)
    imports = nx.DiGraph()
    for file in graph.modules:
        for used in graph.find_modules_directly_imported_by(file):
            names = used.split(".")
            packages = [".".join(names[:k]) for k in range(2, len(names))]
            loaded = [used, *(package for package in packages if not f"{file}.".startswith(f"{package}."))]
            imports.add_edges_from((file, other) for other in loaded)
    assert len(imports) > 200
    assert [circle for circle in nx.strongly_connected_components(imports) if len(circle) > 1] == []


def test_no_file_imports_another_by_a_string() -> None:
    """Such an import is hidden from the contracts; only a package gives out what is in it, on first use."""
    for path in PACKAGE.rglob("*.py"):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                argument = ast.unparse(node.args[0])
                if "'ev_marl" in argument:
                    assert path.name == "__init__.py", f"{path}:{node.lineno}"
                    assert f"'{package}" in argument, f"{path}:{node.lineno}"


def test_every_room_is_in_a_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rooms,) = (contract for contract in contracts if contract["id"] == "rooms")
    layers = {layer for line in rooms["layers"] for layer in line.replace(":", "|").replace(" ", "").split("|")}
    for layer in layers:
        assert importlib.util.find_spec(layer) is not None, layer
    found = {path.parent for path in PACKAGE.glob("*/__init__.py")} | set(PACKAGE.glob("*.py"))
    for path in found - {PACKAGE / "__init__.py", PACKAGE / "grid"}:
        assert f"ev_marl.{path.stem}" in layers
    for path in (PACKAGE / "grid").iterdir():
        if path.is_dir() and path.name != "__pycache__":
            assert f"ev_marl.grid.{path.name}" in layers
        else:
            assert path.name in ("__init__.py", "__pycache__")


def test_kernels_have_few_parameters() -> None:
    """Each further array makes a call slower, and is one more that a caller can confuse with its neighbour."""
    kernels = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and "kernel" in map(ast.unparse, node.decorator_list):
                kernels[f"{path.relative_to(ROOT)}:{node.name}"] = len(node.args.args)
    assert len(kernels) > 30
    assert {name: count for name, count in kernels.items() if count > MOST_PARAMETERS} == {}
