"""The documentation: generated pages are current, its Python runs, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
NETWORKS = importlib.util.find_spec("simbench") is not None
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    module = generator()
    for path, text in module.pages().items():
        if path != module.SPACES or NETWORKS:
            assert path.read_text() == text(), f"{path.name} is stale: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "training" / "README.md"], ids=str)
def test_trained_policies_that_commands_name_are_there(page: Path) -> None:
    for target in re.findall(r"(?:rllib|central):(training/results/[\w/-]+)", page.read_text()):
        assert (ROOT / target).is_dir(), f"{page.name} names {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks of a page, one after the other in one module called `mysite`."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if not blocks:
        return
    if any(re.search(r"\.network\b", block) for block in blocks):
        pytest.importorskip("pandapower")
    monkeypatch.chdir(tmp_path)
    module = ModuleType("mysite")
    monkeypatch.setitem(sys.modules, "mysite", module)
    for block in blocks:
        exec(compile(block, str(page), "exec"), module.__dict__)
