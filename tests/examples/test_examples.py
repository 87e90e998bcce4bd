"""Every example runs, with settings small enough for seconds, and what it prints or returns makes sense."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


def test_cleanrl(capsys: pytest.CaptureFixture[str]) -> None:
    """Bids start as the station's own plan, so even a short training must not end far below uncontrolled charging."""
    pytest.importorskip("torch")
    words = "--scenario=tiny --iterations=4 --envs=8 --train-days=16 --validation-days=5 --minibatch=256".split()  # noqa: SIM905
    main = importlib.import_module("cleanrl_ppo").main
    score = main(words)
    assert 0.2 < score <= 1.0
    assert "validation, mean of 5 days" in capsys.readouterr().out
    assert main(words) == score
