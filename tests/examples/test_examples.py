"""Every example runs, with settings small enough for seconds, and what it prints or returns makes sense."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import ev_marl

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = ["--scenario=tiny", "--train-days=16", "--validation-days=5"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


def test_cleanrl(capsys: pytest.CaptureFixture[str]) -> None:
    """Bids start as the station's own plan, so even a short training must not end far below uncontrolled charging."""
    pytest.importorskip("torch")
    words = [*TINY, "--iterations=4", "--envs=8", "--minibatch=256"]
    main = importlib.import_module("cleanrl_ppo").main
    score = main(words)
    assert 0.2 < score <= 1.0
    assert "validation, mean of 5 days" in capsys.readouterr().out
    assert main(words) == score


def test_sb3(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("stable_baselines3")
    main = importlib.import_module("sb3_ppo").main
    before, after = main([*TINY, "--days=16", "--envs=8"])
    assert 0.2 < before <= 1.0
    assert before != after
    assert after <= 1.0
    assert "score on 5 validation days" in capsys.readouterr().out


def test_torchrl(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchrl")
    main = importlib.import_module("torchrl_ppo").main
    before, after = main([*TINY, "--iterations=2", "--envs=8"])
    assert 0.2 < before <= 1.0
    assert before != after
    assert after <= 1.0
    assert "score on 5 validation days" in capsys.readouterr().out


def test_torchrl_explores() -> None:
    """Two days played with the same actor from the same seed of the days differ."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    face = importlib.import_module("ev_marl.rl.torchrl")
    env = face.StationsEnv(ev_marl.BatchedEnv("tiny", 2, n_days=2))
    actor = importlib.import_module("torchrl_ppo").actor_of(env)
    env.set_seed(0)
    first = env.rollout(3, actor)["agents", "action"]
    env.set_seed(0)
    assert not torch.equal(first, env.rollout(3, actor)["agents", "action"])


def test_supersuit(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("supersuit")
    pytest.importorskip("stable_baselines3")
    main = importlib.import_module("supersuit_ppo").main
    words = ["--days=6", "--copies=2"]
    site = main(words)
    assert site < 0.0
    assert main(words) == site
    assert "over the last 6 days" in capsys.readouterr().out
