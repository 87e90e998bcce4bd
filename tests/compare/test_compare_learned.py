"""Learned policies in a comparison: named by folder, several training seeds together, another content another run."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import ev_marl
from ev_marl.compare import Comparison, compare, rerun_day
from ev_marl.compare.baseline import choose_baseline
from ev_marl.compare.folder import Manifest
from ev_marl.compare.report import command_of, report_markdown, summary_csv
from ev_marl.compare.statistics import score
from ev_marl.compare.table import notes
from ev_marl.env.setup import Setting
from ev_marl.policies import BestResponse, make_policy, split_specs
from ev_marl.policies import make as learned_spec
from ev_marl.policies.make import read_learned
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import OptionError, PolicyError, RunError


class Trained(BestResponse):
    """Stands for what a training leaves: constants in a file."""

    def __init__(self, folder: Path, greedy: bool = True) -> None:
        content = json.loads((folder / "policy.json").read_text())
        super().__init__(trust=content["trust"])
        self.information = content.get("information", "own")
        self.n_ports = content.get("n_ports")
        self.greedy = greedy

    def reset(self, episode) -> None:  # type: ignore[no-untyped-def]
        if self.n_ports not in (None, episode.site.n_ports):
            raise OptionError(f"trained for {self.n_ports} ports")


@pytest.fixture(autouse=True)
def _loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_spec, "load_policy", Trained)


def _save(folder: Path, trust: float, **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.json").write_text(json.dumps({"trust": trust, **more}))
    return folder


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of training results, and this the current directory."""
    for seed, trust in ((0, 1.0), (2, 0.7), (10, 0.4)):
        _save(tmp_path / "results" / "ippo" / f"seed_{seed}", trust)
    _save(tmp_path / "results" / "ppo", 0.9, information="site")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def _run(folder: str, *policies: str, **options: object) -> Comparison:
    return compare("tiny", policies, 3, out=folder, workers=1, **options)  # type: ignore[arg-type]


def test_text_to_folder_and_back() -> None:
    spec = read_learned(" rllib:results/./ippo/ ")
    assert spec is not None
    assert (str(spec), spec.label) == ("rllib:results/ippo", "rllib:ippo")
    seed = read_learned("central:results/ippo/seed_1(greedy=False)")
    assert seed is not None
    assert seed.label == "central:ippo/seed_1(greedy=False)"
    odd = read_learned("rllib:'my results, (old)'(greedy=True)")
    assert odd is not None
    assert read_learned(str(odd)) == odd
    assert odd.path == Path("my results, (old)")
    assert split_specs(f"edf,{odd},llf") == ["edf", str(odd), "llf"]
    for other in ("edf", "mine:Policy", "best-response(trust=0.9)"):
        assert read_learned(other) is None
    with pytest.raises(OptionError, match="write rllib:PATH"):
        read_learned("rllib:")


def test_a_policy_is_loaded_with_its_options(results: Path) -> None:
    assert make_policy("rllib:results/ippo/seed_2").trust == 0.7  # type: ignore[attr-defined]
    assert not make_policy("rllib:results/ippo/seed_2(greedy=False)").greedy  # type: ignore[attr-defined]
    again = make_policy({"name": "central:results/ppo", "options": {"greedy": False}})
    assert not again.greedy  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rllib:results/nothing", "there is no folder results/nothing"),
        ("rllib:results", "has no policy.json, and no folders seed_0, seed_1"),
        ("rllib:results/ippo", "holds 3 training seeds; name one of them, as in rllib:results/ippo/seed_0"),
        ("rllib:results/ppo", "holds a central policy, which knows 'site'; write central:results/ppo"),
        ("central:results/ippo/seed_0", "holds a decentralised policy, which knows 'own'; write rllib:results"),
        ("rllib:results/ippo/seed_0(greed=1)", "Did you mean 'greedy'"),
    ],
)
def test_mistakes_are_told(results: Path, spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make_policy(spec)


def test_an_unfinished_seed_is_told(results: Path) -> None:
    (results / "ippo" / "seed_3").mkdir()
    with pytest.raises(OptionError, match=r"no policy\.json in seed_3; finish the training"):
        _run("run", "rllib:results/ippo")


def test_what_does_not_fit_the_site_shows_before_anything_is_run(results: Path) -> None:
    _save(results / "other", 1.0, n_ports=7)
    with pytest.raises(OptionError, match="trained for 7 ports"):
        _run("run", "rllib:results/other")
    assert not Path("run").exists()


class Speechless:
    """Has no name and cannot be reset."""

    information = "own"

    def act(self, view):  # type: ignore[no-untyped-def]
        return view.hi_kw


class AllKnowing(Speechless):
    """Says it knows what nobody can."""

    name = "all"
    information = "everything"

    def reset(self, episode) -> None:  # type: ignore[no-untyped-def]
        pass


def test_what_is_no_policy_shows_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Speechless lacks name, reset"):
        compare("tiny", [f"{__name__}:Speechless"], 1, out=tmp_path / "run", workers=1)
    with pytest.raises(PolicyError, match="information is 'everything'; it is one of own, messages, site, future"):
        compare("tiny", [f"{__name__}:AllKnowing"], 1, out=tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_training_seeds_are_one_row_and_stay_apart_in_the_files(results: Path) -> None:
    run = _run("run", "best-response", "rllib:results/ippo/", "central:results/ppo", baseline="best-response")
    members = tuple(f"rllib:results/ippo/seed_{seed}" for seed in (0, 2, 10))
    assert run.manifest.policies == ("uncontrolled", "best-response", *members, "central:results/ppo")
    assert run.manifest.asked == ("uncontrolled", "best-response", "rllib:results/ippo", "central:results/ppo")
    rows = {row.label: row for row in run.table()}
    assert set(rows) == {"optimum", "uncontrolled", "best-response", "rllib:ippo", "central:ppo"}
    seeds = run.seed_table()
    assert [row.label for row in seeds] == [f"rllib:ippo/seed_{seed}" for seed in (0, 2, 10)]
    group = rows["rllib:ippo"]
    assert (group.seeds, group.days, group.information) == (3, 3, "own")
    assert group.score == pytest.approx(np.mean([row.score for row in seeds]))
    assert group.cost_per_day == pytest.approx(np.mean([row.cost_per_day for row in seeds]))
    assert group.score_low <= min(row.score_low for row in seeds) + 0.5 * (group.score_high - group.score_low)
    # With the same trust and seed 0's constants, the first training seed is best response itself.
    assert seeds[0].score == rows["best-response"].score
    written = list(csv.DictReader(io.StringIO(summary_csv(run))))
    assert [row["trained_as"] for row in written[-3:]] == ["rllib:results/ippo"] * 3
    days = pq.read_table(run.folder / "results.parquet").to_pylist()
    assert {row["policy"] for row in days if row["trained_as"] == "rllib:results/ippo"} == set(members)
    text = report_markdown(run)
    assert "Training seeds one by one" in text
    assert "rllib:ippo (3)" in notes(run)
    assert "uncontrolled,best-response,rllib:results/ippo,central:results/ppo" in command_of(run)
    assert command_of(run).endswith("--baseline best-response")


def test_differences_to_the_baseline(results: Path) -> None:
    run = _run("run", "best-response", "rllib:results/ippo", "edf", baseline="best-response")
    found = run.differences()
    assert set(found) == {"optimum", "uncontrolled", "rllib:results/ippo", "edf"}
    edf = found["edf"]
    returns = {name: run.returns(name) for name in ("edf", "best-response", "uncontrolled")}
    scores = {name: score(returns[name], returns["uncontrolled"], run.bound) for name in returns}
    assert edf.points == pytest.approx(100 * (scores["edf"] - scores["best-response"]))
    assert edf.per_day == pytest.approx((returns["edf"] - returns["best-response"]).mean())
    assert edf.points_low <= edf.points <= edf.points_high
    assert "Differences to the baseline `best-response`" in report_markdown(run)
    assert "rllib:ippo less the baseline, on the same days" in notes(run)
    row = next(row for row in csv.DictReader(io.StringIO(summary_csv(run))) if row["policy"] == "edf")
    assert float(row["difference_points"]) == edf.points


def test_the_baseline_is_chosen_on_validation_days(results: Path) -> None:
    run = _run("run", "best-response(trust=0.1)", "best-response", "edf", "rllib:results/ippo", baseline="best")
    assert run.baseline == "best-response"
    assert "best of 3 own-station policies on 100 validation days" in notes(run)
    with pytest.raises(RunError, match=r"baseline 'edff' is not among the policies. Did you mean 'edf'\?"):
        _run("run2", "edf", baseline="edff")


def test_another_content_is_another_run(results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _run(str(tmp_path / "run"), "rllib:results/ippo/seed_0")
    _save(results / "ippo" / "seed_0", 0.8)
    with pytest.raises(RunError, match=r"files\.rllib:results/ippo/seed_0"):
        _run(str(tmp_path / "run"), "rllib:results/ippo/seed_0")


def test_a_run_knows_where_its_policies_are(results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = _run(str(tmp_path / "run"), "rllib:results/ippo/seed_2")
    assert first.manifest.places == {"rllib:results/ippo/seed_2": f"rllib:{results}/ippo/seed_2"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = rerun_day(tmp_path / "run", 1)
    assert again.of("rllib:results/ippo/seed_2").team_return == first.days[1].policies[-1].team_return
    (elsewhere / "results").symlink_to(results)
    manifest = Manifest.of(load_scenario("tiny"), first.manifest.policies, 0)
    assert manifest.identity == first.manifest.identity


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ev_marl.compare.ray_workers", raising=False)
    monkeypatch.delattr(ev_marl.compare, "ray_workers", raising=False)
    with pytest.raises(RunError, match=r'--ray needs Ray: pip install "ev-marl\[rllib\]"'):
        compare("tiny", ["edf"], 1, out=tmp_path / "run", ray="auto")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("agents", "kind", "information"), [("shared", "rllib", "own"), ("central", "central", "site")]
)
def test_files_of_a_training_are_run(
    agents: str, kind: str, information: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder as a training leaves it, with random weights: no loader is stood in for, no training library needed."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    config = TrainingConfig.model_validate({"name": "net", "agents": agents})
    description = TrainingFace(config, load_scenario("tiny"), 1, 0).description()
    rng = np.random.default_rng(0)
    for seed in range(2):
        folder = tmp_path / "net" / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "policy.json").write_text(description.model_dump_json())
        layers = [(8, len(description.labels)), (description.n_actions, 8)]
        arrays = {}
        for name in description.modules:
            for number, shape in enumerate(layers):
                arrays[f"{name}.{number}.weight"] = rng.normal(size=shape).astype(np.float32)
                arrays[f"{name}.{number}.bias"] = np.zeros(shape[0], dtype=np.float32)
        np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
    run = _run("run", f"{kind}:net", "best-response", baseline="best-response")
    row = next(row for row in run.table() if row.label == f"{kind}:net")
    assert (row.seeds, row.information) == (2, information)
    assert row.violations == 0
    other = "central" if kind == "rllib" else "rllib"
    with pytest.raises(OptionError, match=f"write {kind}:net/seed_0"):
        _run("other", f"{other}:net")
    with pytest.raises(OptionError, match="learned policy net/seed_0"):
        compare("workplace", [f"{kind}:net"], 1, out=tmp_path / "site", workers=1)


def test_a_baseline_knows_as_much_as_the_learned(results: Path) -> None:
    """Where stations exchange messages to decide, so may the policy that they are measured against."""
    setting = Setting.of("tiny")
    talking = _save(results / "talking", 0.9, information="messages").relative_to(results.parent)
    policies = ("uncontrolled", f"{__name__}:Talker")
    alone = choose_baseline(setting, (*policies, "rllib:results/ippo"), "best", 0, 5)
    assert alone == ("uncontrolled", "best of 1 own-station policies on 5 validation days")
    together = choose_baseline(setting, (*policies, f"rllib:{talking}"), "best", 0, 5)
    assert together == (f"{__name__}:Talker", "best of 2 policies of own station or messages on 5 validation days")


class Talker(BestResponse):
    """Says that it needs messages."""

    information = "messages"
