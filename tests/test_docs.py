"""The documentation: generated pages are current, its Python runs, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ev_marl
from ev_marl.scenario import Scenario, load_scenario, schema, shipped_scenarios

ROOT = Path(__file__).parent.parent
NETWORKS = importlib.util.find_spec("simbench") is not None
WISHES = ROOT / "docs" / "explanation" / "what-can-be-expressed.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def run_python(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks of a page, one after the other in one module called `mysite`."""
    monkeypatch.chdir(folder)
    module = ModuleType("mysite")
    monkeypatch.setitem(sys.modules, "mysite", module)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), module.__dict__)


def test_generated_pages_are_current() -> None:
    module = generator()
    for path, text in module.pages().items():
        if path != module.SPACES or NETWORKS:
            assert path.read_text() == text(), f"{path.name} is stale: run `make docs`"


def test_marked_console_blocks_are_run_beside_the_files_of_the_page(tmp_path: Path) -> None:
    page = """Save this as `mine.yaml`:\n\n```yaml\nextends: tiny\nname: mine\n```\n\n<!-- rerun -->
```console\n$ ev-marl describe mine.yaml\nold\n```\n\n```console\n$ not run\nold\n```\n
<!-- picture: mine.yaml -->\n![A picture](copy.yaml)\n"""
    made = generator()._rerun(page, tmp_path)
    assert "$ ev-marl describe mine.yaml\nmine: " in made
    assert "└── 1 × bidi (bidi_0)" in made
    assert made.count("old") == 1
    assert (tmp_path / "copy.yaml").read_text() == "extends: tiny\nname: mine\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        if not target.startswith("http"):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} links to {target}"
            assert not heading or heading in anchors(file), f"{page.name} links to {target}#{heading}"


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "training" / "README.md"], ids=str)
def test_trained_policies_that_commands_name_are_there(page: Path) -> None:
    for target in re.findall(r"(?:rllib|central):(training/results/[\w/-]+)", page.read_text()):
        assert (ROOT / target).is_dir(), f"{page.name} names {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(re.search(r"\.grid\b", block) for block in blocks(page, "python")):
        pytest.importorskip("pandapower")
    run_python(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("snippet", blocks(WISHES, "yaml"), ids=lambda snippet: snippet.splitlines()[0][:40])
def test_wishes_are_scenarios(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each YAML snippet of the page, as a variant of a shipped scenario; with the files and the class that it names."""
    if "grid:" in snippet:
        pytest.importorskip("pandapower")
    if "kwp:" in snippet:
        pytest.importorskip("pvlib")
    if "mysite:" in snippet:
        run_python(WISHES, tmp_path, monkeypatch)
    base = "street-lv" if "grid:" in snippet else "tiny"
    (tmp_path / "limit.csv").write_text("kw\n" + "25\n" * 24)
    hours = [datetime(2023, 5, 14) + timedelta(hours=k) for k in range(72)]
    rows = [f"{hour.isoformat()},{50 + hour.hour}" for hour in hours]
    (tmp_path / "day_ahead.csv").write_text("\n".join(["datetime_utc,price_eur_per_mwh", *rows]))
    rows = [f"{hour.isoformat()},40,0.01" for hour in hours]
    (tmp_path / "year.csv").write_text("\n".join(["when,limit_kw,load [MW]", *rows]))
    file = tmp_path / "wish.yaml"
    file.write_text(f"extends: {base}\nname: wish\n{snippet}")
    env = ev_marl.parallel_env(file, trust="mysite:" in snippet)
    env.reset(seed=0)
    _observations, rewards, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert np.isfinite(list(rewards.values())).all()


def test_contributing_names_what_there_is() -> None:
    """Paths and names in CONTRIBUTING lead somewhere, and every registry is listed with its entry points."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = {group: named(path) for path, group in re.findall(r"\| `(ev_marl[\w.]+)` \| `(ev_marl\.\w+)` \|", text)}
    assert {group: registry.group for group, registry in listed.items()} == {group: group for group in listed}
    code = "".join(path.read_text() for path in (ROOT / "ev_marl").rglob("*.py"))
    assert set(listed) == set(re.findall(r'Registry\(\s*"[\w ]+", "(ev_marl\.\w+)"', code))
    for name in set(re.findall(r"`(ev_marl[\w.]*)`", text)) - set(listed):
        named(name)
    for path in re.findall(r"`((?:ev_marl|tests|scenarios|docs)/[\w./-]*)`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


def named(path: str) -> Any:
    """What stands at `module.name`."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_no_key_of_a_scenario_is_left_out_of_the_wishes() -> None:
    named = set(re.findall(r"\w+", WISHES.read_text()))
    formal = {"about", "currency", "timezone"}
    models = (Scenario, schema.Objective, schema.Sessions, schema.Vehicles, schema.PriceModel)
    keys = {key for model in models for key in model.model_fields}
    assert not keys - named - formal, f"{WISHES.name} says nothing of these"


def test_what_moved_is_where_the_changelog_says() -> None:
    """Every new path of the list is there, and every old module is gone."""
    text = (ROOT / "CHANGELOG.md").read_text().partition("### Moved")[2]
    for before, now in re.findall(r"^\| (`.*) \| (`.*) \|$", text, re.MULTILINE):
        for old in paths_of(before) - {"cli"}:
            assert not module_file(old).exists(), old
        for new in paths_of(now):
            assert module_file(new).exists(), new


def paths_of(cell: str) -> set[str]:
    """Modules that a cell names; those that begin with a dot are beside the first one."""
    names = [name.partition(":")[0] for name in re.findall(r"`([\w.:]+)`", cell) if name not in ("network", "grid")]
    room = names[0].rpartition(".")[0] if not names[0].startswith("cli.") else "cli"
    return {f"{room}{name}" if name.startswith(".") else name for name in names}


def module_file(module: str) -> Path:
    """The file of a module of the package."""
    return ROOT.joinpath("ev_marl", *module.split(".")).with_suffix(".py")


def test_the_page_of_scenarios_has_them_all() -> None:
    page = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
    played = re.findall(r"^\| \[`([\w-]+)`\]", page, re.MULTILINE)
    assert played == sorted(shipped_scenarios()), "run `python docs/scenario_results.py NAME` for what is missing"
    for name in played:
        assert load_scenario(name).about in page
