"""Training from beginning to end: what is kept, when it stops, how it goes on; first with a pretended algorithm."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import ev_marl
from ev_marl.rl import training
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.training import SeedResult, share_done, train
from ev_marl.rl.training_folder import SeedFolder, TrainingFolder, default_folder
from ev_marl.support.errors import RunError, TrustError
from ev_marl.world import World

SCORES = [0.1, 0.3, 0.2, 0.6, 0.5, 0.4, 0.7, 0.65, 0.1, 0.2]  # of the policy after each iteration


def config(**changes: Any) -> TrainingConfig:
    given = {"name": "test", "stop": {"iterations": 5}, "validation": {"days": 2, "every": 1}, "sampling": {"envs": 2}}
    return TrainingConfig.model_validate({**given, "checkpoint_minutes": 0, **changes})


class Pretended:
    """In the place of an RLlib algorithm: counts iterations; the policy after iteration n has the score SCORES[n]."""

    killed_in: int | None = None  # iteration in which the process dies

    def __init__(self, config: TrainingConfig, scenario: Any, seed: int) -> None:
        self.config, self.n_steps, self.seed = config, scenario.n_steps, seed
        self.iteration = 0
        self.stopped = False

    def train(self) -> dict[str, Any]:
        if self.iteration + 1 == self.killed_in:
            raise SystemExit("killed")
        self.iteration += 1
        learned = {"policy_loss": -0.5 * self.iteration, "vf_loss": 2.0 + self.seed}
        return {
            "env_runners": {
                "num_env_steps_sampled_lifetime": self.iteration * self.config.sampling.envs * self.n_steps,
                "team_return_mean": -100.0 + self.iteration,
                "episode_return_mean": 1.5 * self.iteration,
            },
            "learners": {"ac": learned, "dc": {**learned, "vf_loss": 4.0}, "__all_modules__": {"policy_loss": 1e9}},
        }

    def save_to_path(self, path: str) -> None:
        Path(path).mkdir()
        (Path(path) / "iteration").write_text(str(self.iteration))

    def restore_from_path(self, path: str) -> None:
        self.iteration = int((Path(path) / "iteration").read_text())

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[Pretended]:
    """Trainings with `Pretended`; every algorithm that was built."""
    built: list[Pretended] = []

    def build(*arguments: Any) -> Pretended:
        built.append(Pretended(*arguments))
        return built[-1]

    def save_policy(folder: Path, description: Any, networks: int) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "policy.json").write_text(str(networks))

    class Days:
        def __init__(self, *arguments: Any) -> None:
            pass

        def score(self, policy: int) -> float:
            return SCORES[policy]

    @contextmanager
    def no_ray(runners: int, address: str | None) -> Iterator[None]:
        yield

    monkeypatch.setattr(Pretended, "killed_in", None)
    monkeypatch.setattr(training, "build", build)
    monkeypatch.setattr(training, "actors", lambda algorithm, modules: algorithm.iteration)
    monkeypatch.setattr(training, "save_policy", save_policy)
    monkeypatch.setattr(training, "load_policy", lambda folder: int((folder / "policy.json").read_text()))
    monkeypatch.setattr(training, "after_restoring", lambda algorithm: None)
    monkeypatch.setattr(training, "ValidationDays", Days)
    monkeypatch.setattr(training, "ray_session", no_ray)
    return built


def run(out: Path, *, watch: Any = lambda step: None, trust: bool = False, **changes: Any) -> list[SeedResult]:
    told = {"command": ["ev-marl", "train"], "watch": watch, "trust": trust}
    return train(config(**changes), ev_marl.load_scenario("tiny"), out, **told)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_time(folder: Path) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(folder)]


def test_the_best_policy_is_kept(tmp_path: Path, pretended: list[Pretended]) -> None:
    steps: list[Any] = []
    (result,) = run(tmp_path / "out", watch=steps.append)
    assert (result.iteration, result.days, result.score, result.best_score) == (5, 10, 0.4, 0.6)
    assert result.best_days == 6
    folder = tmp_path / "out" / "seed_0"
    assert (folder / "policy.json").read_text() == "3"
    assert (folder / "last" / "policy.json").read_text() == "5"
    assert json.loads((folder / "finished.json").read_text())["best_score"] == 0.6
    assert [step.iteration for step in steps] == [1, 2, 3, 4, 5]
    assert [step.done for step in steps] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [step.best_score for step in steps] == [0.3, 0.3, 0.6, 0.6, 0.6]
    assert all(algorithm.stopped for algorithm in pretended)


def test_every_iteration_is_written_down(tmp_path: Path, pretended: list[Pretended]) -> None:
    run(tmp_path / "out", validation={"days": 2, "every": 2})
    found = rows(tmp_path / "out" / "seed_0")
    assert [row["iteration"] for row in found] == ["0", "1", "2", "3", "4", "5"]
    assert [row["days"] for row in found] == ["0", "2", "4", "6", "8", "10"]
    assert [row["validation_score"] for row in found] == ["0.1", "", "0.2", "", "0.5", "0.4"]
    last = found[-1]
    assert (last["return"], last["training_reward"], last["policy_loss"]) == ("-95", "7.5", "-2.5")
    assert last["value_loss"] == "3"  # mean over the two modules
    assert found[0]["return"] == last["entropy"] == ""
    assert list((tmp_path / "out" / "seed_0" / "tensorboard").glob("events.*"))


def test_the_folder_says_what_was_trained(tmp_path: Path, pretended: list[Pretended]) -> None:
    run(tmp_path / "out", seeds=[3])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert TrainingConfig.model_validate(record["config"]) == config(seeds=[3])
    assert ev_marl.Scenario.model_validate(record["scenario"]) == ev_marl.load_scenario("tiny")
    assert {"python", "ev_marl", "numpy", "ray", "torch"} <= set(record["versions"])
    assert record["command"] == ["ev-marl", "train"]
    assert "git_revision" in record
    (sitting,) = (tmp_path / "out" / "seed_3" / "sittings.jsonl").read_text().splitlines()
    assert json.loads(sitting)["checkpoint"] is None


@pytest.mark.parametrize("killed_in", [1, 2, 4])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, pretended: list[Pretended], killed_in: int) -> None:
    run(tmp_path / "whole")
    Pretended.killed_in = killed_in
    with pytest.raises(SystemExit):
        run(tmp_path / "out")
    folder = tmp_path / "out" / "seed_0"
    with (folder / "progress.csv").open("a") as file:
        file.write(f"{killed_in},9")  # a row that was being written
    (folder / ".checkpoint.part").mkdir()  # and a checkpoint
    Pretended.killed_in = None
    (result,) = run(tmp_path / "out")
    assert pretended[-1].iteration == 5
    assert without_time(folder) == without_time(tmp_path / "whole" / "seed_0")
    assert (folder / "policy.json").read_text() == "3"
    assert (result.best_score, result.days) == (0.6, 10)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-000005"]
    sittings = [json.loads(line)["checkpoint"] for line in (folder / "sittings.jsonl").read_text().splitlines()]
    assert sittings == [None, None if killed_in == 1 else f"checkpoint-{killed_in - 1:06d}"]


def test_a_strangers_checkpoint_is_opened_only_by_agreement(
    tmp_path: Path, pretended: list[Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    Pretended.killed_in = 3
    with pytest.raises(SystemExit):
        run(tmp_path / "out")
    Pretended.killed_in = None
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else"))
    with pytest.raises(TrustError, match=r"checkpoint-000002 was not written by you.*--trust"):
        run(tmp_path / "out")
    assert len(pretended) == 1
    (result,) = run(tmp_path / "out", trust=True)
    assert result.days == 10


def test_a_checkpoint_that_was_changed_is_a_strangers(tmp_path: Path, pretended: list[Pretended]) -> None:
    Pretended.killed_in = 3
    with pytest.raises(SystemExit):
        run(tmp_path / "out")
    Pretended.killed_in = None
    (tmp_path / "out" / "seed_0" / "checkpoint-000002" / "more.pkl").write_bytes(b"")
    with pytest.raises(TrustError, match="or has been changed"):
        run(tmp_path / "out")


def test_ctrl_c_waits_for_the_iteration_and_goes_on(tmp_path: Path, pretended: list[Pretended]) -> None:
    run(tmp_path / "whole")

    def stop(step: Any) -> None:
        if step.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(
        KeyboardInterrupt, match=r"stopped after iteration [12] .* the same command continues from there"
    ):
        run(tmp_path / "out", watch=stop)
    assert signal.getsignal(signal.SIGINT) is before
    assert pretended[-1].stopped
    (result,) = run(tmp_path / "out")
    assert result.days == 10
    assert without_time(tmp_path / "out" / "seed_0") == without_time(tmp_path / "whole" / "seed_0")


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, pretended: list[Pretended]) -> None:
    def impatient(step: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(
        KeyboardInterrupt, match=r"stopped at once; the same command continues from the last checkpoint"
    ):
        run(tmp_path / "out", watch=impatient)


def test_a_finished_run_is_reported_and_can_be_extended(tmp_path: Path, pretended: list[Pretended]) -> None:
    (first,) = run(tmp_path / "out")
    (again,) = run(tmp_path / "out")
    assert len(pretended) == 1
    assert again.finished_before
    assert (again.days, again.score, again.best_score) == (first.days, first.score, first.best_score)
    (shorter,) = run(tmp_path / "out", stop={"days": 4})
    assert shorter.finished_before
    (longer,) = run(tmp_path / "out", stop={"days": 13})
    assert (longer.iteration, longer.days, longer.best_score) == (7, 14, 0.7)
    run(tmp_path / "whole", stop={"iterations": 7})
    assert without_time(tmp_path / "out" / "seed_0") == without_time(tmp_path / "whole" / "seed_0")


def test_a_result_without_checkpoints_is_complete_but_cannot_be_extended(
    tmp_path: Path, pretended: list[Pretended]
) -> None:
    run(tmp_path / "out")
    checkpoint = SeedFolder(tmp_path / "out" / "seed_0").checkpoint
    assert checkpoint is not None
    checkpoint.rename(tmp_path / "elsewhere")
    assert run(tmp_path / "out")[0].finished_before
    with pytest.raises(RunError, match="no checkpoint to continue from"):
        run(tmp_path / "out", stop={"iterations": 6})


def test_other_seeds_join_a_folder(tmp_path: Path, pretended: list[Pretended]) -> None:
    run(tmp_path / "out", seeds=[0])
    results = run(tmp_path / "out", seeds=[2, 0])
    assert [(result.seed, result.finished_before) for result in results] == [(2, False), (0, True)]
    assert [algorithm.seed for algorithm in pretended] == [0, 2]


def test_another_run_is_refused(tmp_path: Path, pretended: list[Pretended]) -> None:
    run(tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"another training run.*\n  config\.ppo\.epochs: 4 there, 3 here"):
        run(tmp_path / "out", ppo={"epochs": 3})
    with pytest.raises(RunError, match=r"scenario\.name: tiny there, workplace here"):
        train(config(), ev_marl.load_scenario("workplace"), tmp_path / "out")
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty and holds no training run"):
        run(tmp_path / "notes")
    with pytest.raises(RunError, match="is a file"):
        run(tmp_path / "notes" / "notes.txt")


def test_two_processes_do_not_train_the_same_seed(tmp_path: Path, pretended: list[Pretended]) -> None:
    def second(step: Any) -> None:
        if step.iteration == 1:
            with pytest.raises(RunError, match="another process is training in"):
                run(tmp_path / "out")
            run(tmp_path / "out", seeds=[1])

    assert len(run(tmp_path / "out", watch=second)) == 1
    assert [algorithm.seed for algorithm in pretended] == [0, 1]


def test_nothing_is_written_where_configuration_and_scenario_do_not_go_together(
    tmp_path: Path, pretended: list[Pretended]
) -> None:
    with pytest.raises(ev_marl.support.errors.EvMarlError, match="nearst"):
        run(tmp_path / "out", coordinator="nearst")
    assert not (tmp_path / "out").exists()


def test_days_on_which_nothing_can_be_gained_leave_the_last_policy(
    tmp_path: Path, pretended: list[Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_rl_training.SCORES", [math.nan] * 10)
    (result,) = run(tmp_path / "out")
    assert math.isnan(result.best_score)
    assert (tmp_path / "out" / "seed_0" / "policy.json").read_text() == "5"


def test_the_same_command_finds_the_same_folder() -> None:
    tiny = ev_marl.load_scenario("tiny")
    folder = default_folder(config(), tiny)
    assert folder == default_folder(config(seeds=[5], stop={"minutes": 1}), tiny)
    assert folder != default_folder(config(discount=0.5), tiny)
    assert folder.name.startswith("tiny-test-")


def test_the_nearest_stop_counts() -> None:
    stop = config(stop={"iterations": 10, "days": 40, "minutes": 2}).stop
    assert share_done(stop, 1, 8, 12.0) == pytest.approx(0.2)
    assert share_done(stop, 1, 4, 90.0) == pytest.approx(0.75)
    assert share_done(stop, 10, 4, 0.0) == 1.0


def test_a_folder_of_days_that_have_changed_is_another_training(tmp_path: Path) -> None:
    world = World(ev_marl.load_scenario("tiny"))
    for split, seed in (("train", 0), ("validation", 1)):
        world.sample(seed).save(tmp_path / "days" / split / "day.json")
    scenario = ev_marl.load_scenario("tiny").with_tracks(tmp_path / "days")
    TrainingFolder(tmp_path / "out", config(), scenario)
    TrainingFolder(tmp_path / "out", config(), scenario)  # goes on
    world.sample(2).save(tmp_path / "days" / "train" / "day.json", overwrite=True)
    with pytest.raises(RunError, match=r"another training run.*\n  files\..*day\.json: "):
        TrainingFolder(tmp_path / "out", config(), scenario)
