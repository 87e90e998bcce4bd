"""Learned policies run by NumPy alone, and damaged folders of them are refused with the file that is damaged."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.learned import DESCRIPTION, WEIGHTS, FullyConnected, load_policy
from ev_marl.support.errors import EvMarlError, OptionError

SHIPPED = Path(__file__).parents[2] / "training" / "results" / "workplace-nearest" / "seed_0"
RUN = """
import sys
from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
setting = Setting.of("workplace")
tracks = [setting.world.sample(3)]
policy = make_policy("rllib:" + sys.argv[1])
run = rollout(setting.simulator(tracks), setting.objective, policy, tracks, world=setting.world)
print(run.team[0] < 0, *[name for name in ("ray", "torch", "ev_marl.rl") if name in sys.modules])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a shipped policy."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "policy"))


def test_a_shipped_policy_runs_without_a_training_library() -> None:
    done = subprocess.run([sys.executable, "-c", RUN, str(SHIPPED)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copied_policy_decides_alike(copied: Any) -> None:
    setting = Setting.of("workplace")
    tracks = [setting.world.sample(seed) for seed in (1, 2)]
    policies = [make_policy(f"rllib:{SHIPPED}")]
    policies.append(copied(policies[0]))
    one, two = (
        rollout(setting.simulator(tracks), setting.objective, policy, tracks, world=setting.world)
        for policy in policies
    )
    np.testing.assert_array_equal(one.returns, two.returns)


def test_a_network_by_hand() -> None:
    """Two inputs, a hidden layer of two with ReLU, one output: 3·max(0, x + y) − max(0, x − y) + 0.5."""
    hidden = np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2)
    output = np.array([[3.0, -1.0]]), np.array([0.5])
    network = FullyConnected([hidden, output], "relu")
    np.testing.assert_allclose(network(np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, -2.0]])), [[9.5], [8.5], [-0.5]])


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_weights_that_are_cut_short(folder: Path, keep: float) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(OptionError, match=r"weights\.npz is damaged"):
        load_policy(folder)


def test_flipped_bytes_give_an_error_of_our_own_or_another_policy(folder: Path) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for name in (WEIGHTS, DESCRIPTION):
        whole = (folder / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(len(whole), size=rng.integers(1, 20)):
                damaged[place] = rng.integers(256)
            (folder / name).write_bytes(damaged)
            with suppress(OptionError):
                load_policy(folder)
                continue
            refused += 1
        (folder / name).write_bytes(whole)
    assert refused > 60


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 2}, "format"),
        ({"n_actions": 0}, "n_actions"),
        ({"n_actions": 500}, r"answers \d+ numbers.*500 actions"),
        ({"labels": ["one"]}, r"layer 0; \(n, 1\) and \(n,\) are needed"),
        ({"labels": []}, "labels"),
        ({"modules": {}}, "modules"),
        ({"modules": {"elsewhere": ["ac_0"]}}, "network 'elsewhere' is not there"),
        ({"agents": "central"}, "the one network 'site'"),
        ({"activation": "sine"}, "activation"),
        ({"n_levels": 7}, "answers"),
    ],
)
def test_a_description_that_does_not_fit(folder: Path, changed: dict[str, Any], message: str) -> None:
    content = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(content | changed))
    with pytest.raises(OptionError, match=message):
        load_policy(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: np.where(np.arange(weight.size).reshape(weight.shape) == 3, np.nan, weight), "not finite"),
        (lambda weight: weight.astype(str), "floating-point"),
        (lambda weight: weight.T, "are needed"),
        (lambda weight: weight[None], "are needed"),
    ],
)
def test_weights_that_do_not_fit(folder: Path, change: Any, message: str) -> None:
    with np.load(folder / WEIGHTS) as file:
        arrays = dict(file)
    first = next(name for name in arrays if name.endswith(".0.weight"))
    np.savez(folder / WEIGHTS, **(arrays | {first: change(arrays[first])}))
    with pytest.raises(OptionError, match=message):
        load_policy(folder)


def test_a_policy_for_another_site_is_refused() -> None:
    setting = Setting.of("residential-v2g")
    tracks = [setting.world.sample(0)]
    with pytest.raises(EvMarlError, match=r"trained on 'workplace'|observations|networks for stations"):
        rollout(setting.simulator(tracks), setting.objective, load_policy(SHIPPED), tracks, world=setting.world)
