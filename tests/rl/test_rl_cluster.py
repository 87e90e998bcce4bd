"""More than one machine: the same commands on a Ray cluster of two nodes, started here; the same results as without."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.ppo import PPOConfig

from ev_marl.compare import compare
from ev_marl.compare.bundle import Bundle, package_digest
from ev_marl.compare.day import DayResult
from ev_marl.compare.folder import Manifest
from ev_marl.compare.ray_workers import _day
from ev_marl.rl.multi_agent_env import register, sharing
from ev_marl.rl.ray_session import ray_session
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import RunError
from ev_marl.support.ray_cluster import connect
from ev_marl.world.seeds import day_seeds

pytestmark = [
    # RLlib's own use of what it or its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:gymnasium"),
]

DAY = 24  # steps of `tiny`
# A busy machine takes its time, and Ray would have its workers wait for everybody else, or end them.
PATIENCE = {
    "RAY_worker_niceness": "0",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
OWN = """
import time
from pathlib import Path

class Slow:
    name = "slow"
    information = "own"

    def reset(self, episode):
        time.sleep({seconds})

    def act(self, view):
        if {fails}:
            raise ValueError("no idea")
        return view.hi_kw / 2
"""


def two_nodes() -> Cluster:
    """One core on each, nobody connected, and none of Ray's services that are not needed."""
    head = {"num_cpus": 1, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1)
    except Exception:
        cluster.shutdown()
        raise
    return cluster


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster that lives as long as these tests."""
    ray.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENCE.items():
            patch.setenv(name, value)
        for attempts_left in (2, 1, 0):
            try:
                cluster = two_nodes()
                break
            except Exception as error:  # what Ray raises where a node needs more than 30 s to start
                if not attempts_left or "timed out" not in str(error).lower():
                    raise
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ev_marl", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def days(folder: Path) -> list[Any]:
    """The files of the days, without what was measured by the clock."""
    read = [json.loads(path.read_text()) for path in sorted((folder / "days").glob("day-*.json"))]
    for day in read:
        del day["solve_seconds"]
        for policy in day["policies"]:
            del policy["policy_ms"], policy["simulator_ms"]
    return read


def test_days_on_a_cluster_are_the_days_without(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster_own.py").write_text(OWN.format(seconds=0, fails=False))
    monkeypatch.syspath_prepend(tmp_path)
    policies = ["edf", "random", "cluster_own:Slow"]
    compare("tiny", policies, days=5, out=tmp_path / "here", workers=1, report=False)
    finished = []

    def advance() -> None:
        finished.append(len(list((tmp_path / "there" / "days").iterdir())))

    compare("tiny", policies, days=2, out=tmp_path / "there", ray=address, report=False)
    monkeypatch.setattr("ev_marl.compare.run.progress_bar", lambda *_: _Told(advance))
    compare("tiny", policies, days=5, out=tmp_path / "there", ray=address, report=False)
    assert finished == [3, 4, 5]
    assert days(tmp_path / "there") == days(tmp_path / "here")
    assert not ray.is_initialized()


class _Told:
    """In place of the bar."""

    def __init__(self, advance: Any) -> None:
        self.advance = advance

    def __enter__(self) -> Any:
        return self.advance

    def __exit__(self, *_: object) -> None:
        pass


def test_a_day_that_fails_is_named(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster_fails.py").write_text(OWN.format(seconds=0, fails="view.step == 3"))
    monkeypatch.syspath_prepend(tmp_path)
    messages = []
    for where in ({"workers": 1}, {"ray": address}):
        with pytest.raises(RunError) as caught:
            compare("tiny", ["cluster_fails:Slow"], days=1, out=tmp_path / "run", **where)  # type: ignore[arg-type]
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "day 0 (seed " in messages[0]
    assert "ValueError: no idea" in messages[0]
    assert not ray.is_initialized()


def test_no_cluster_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no Ray cluster at 'nowhere'"):
        compare("tiny", ["edf"], days=1, out=tmp_path / "run", ray="nowhere")


def test_ray_is_not_asked_where_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for minutes."""
    monkeypatch.setattr("ev_marl.support.ray_cluster._PATIENCE_S", 0.5)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was asked"))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{free.getsockname()[1]}"
        message = rf"there is no Ray cluster at '{address}': nothing answers in \d+ s .*refused"
        with pytest.raises(RunError, match=message):
            compare("tiny", ["edf"], days=1, out=tmp_path / "run", ray=address)
        with pytest.raises(RunError, match=message), ray_session(1, address):
            pass
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(RunError, match=r"there is no Ray cluster at 'auto': nothing answers"):
            connect("auto")


def test_another_machine_must_have_the_same_code() -> None:
    work = Manifest.of(load_scenario("tiny"), ("edf",), seed=0).work(trust=False, trust_policies=False)
    bundle = Bundle.of(work)
    (seed,) = day_seeds(0, 1)
    with pytest.raises(RunError, match=r"not that of the machine that asks, other \(version 0\.0\.1\)"):
        _day(bundle, ("other", "0.0.1", "another digest"), 0, seed)
    assert DayResult.model_validate_json(_day(bundle, ("other", "0.0.1", package_digest()), 0, seed)).seed == seed


def test_ctrl_c_keeps_what_is_finished_and_frees_the_cluster(address: str, tmp_path: Path) -> None:
    (tmp_path / "cluster_slow.py").write_text(OWN.format(seconds=1, fails=False))
    asked = ["compare", "tiny", "--policies", "cluster_slow:Slow", "--days", "200", "--out", "run", "--ray", address]
    running = command(tmp_path, *asked)
    give_up = time.monotonic() + 300
    while not list((tmp_path / "run" / "days").glob("day-*.json")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 130
    kept = len(days(tmp_path / "run"))
    assert 0 < kept < 200
    assert f"stopped: {kept} of 200 days" in " ".join(said.split())
    assert "Traceback" not in said
    assert not list((tmp_path / "run" / "days").glob(".*"))
    ray.init(address, log_to_driver=False, logging_level="ERROR")
    while ray.available_resources().get("CPU") != 2.0:
        assert time.monotonic() < give_up
        time.sleep(0.2)
    ray.shutdown()


TRAINING = """
name: small
neural_network: {hidden: [8]}
ppo: {minibatch: 128, epochs: 1}
sampling: {envs: 2, runners: 2}
validation: {days: 2, every: 2}
stop: {iterations: 2}
seeds: [0]
"""


def test_training_on_a_cluster_comes_to_the_same(address: str, tmp_path: Path) -> None:
    """Two runners, on one machine and on two nodes, at the same time; the learned policy is then compared there."""
    (tmp_path / "small.yaml").write_text(TRAINING)
    asked = ["train", "small.yaml", "--scenario", "tiny"]
    curves = []
    places = (["--out", "here"], ["--out", "there", "--address", address])
    trainings = [command(tmp_path, *asked, *more) for more in places]
    for training, more in zip(trainings, places, strict=True):
        _, said = training.communicate(timeout=300)
        assert training.returncode == 0, said
        with (tmp_path / more[1] / "seed_0" / "progress.csv").open() as file:
            rows = list(csv.DictReader(file))
        curves.append([{name: value for name, value in row.items() if name != "seconds"} for row in rows])
    assert [row["iteration"] for row in curves[0]] == ["0", "1", "2"]
    assert curves[0] == curves[1]
    learned = f"rllib:{tmp_path / 'there'}"
    comparison = compare("tiny", [learned], days=2, out=tmp_path / "run", ray=address, report=False)
    again = compare("tiny", [learned], days=2, out=tmp_path / "again", workers=1, report=False)
    assert days(comparison.folder) == days(again.folder)


def test_rllibs_own_runners_on_two_nodes(address: str) -> None:
    """PPO through our `MultiAgentEnv`, with a remote runner on each node."""
    ray.init(address, log_to_driver=False, logging_level="ERROR")
    config = (
        PPOConfig()
        .environment(register(), env_config={"scenario": "tiny", "reward": "team"})
        .env_runners(
            num_env_runners=2, batch_mode="complete_episodes", num_cpus_per_env_runner=1, sample_timeout_s=None
        )
        .fault_tolerance(restart_failed_env_runners=False)  # a runner that fails says why
        .resources(num_cpus_for_main_process=0)
        .multi_agent(**sharing("by_type", "tiny"))
        .training(train_batch_size_per_learner=2 * DAY, minibatch_size=DAY, num_epochs=1)
        .debugging(seed=3, log_level="ERROR")
    )
    algorithm = config.build_algo()
    try:
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled"] == 2 * DAY
        places = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: ray.get_runtime_context().get_node_id(), local_env_runner=False
        )
        assert len(set(places)) == 2
    finally:
        algorithm.stop()
        ray.shutdown()
