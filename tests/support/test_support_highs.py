"""HiGHS as it is made here."""

from __future__ import annotations

import highspy
import numpy as np
import pytest

from ev_marl.support.highs import make_highs


def test_it_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    highs = make_highs()
    highs.addVars(1, np.zeros(1), np.ones(1))
    highs.changeColCost(0, -2.0)
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    assert highs.getObjectiveValue() == -2.0
    assert capfd.readouterr() == ("", "")


def test_options_are_set_or_refused() -> None:
    assert make_highs(presolve="off").getOptionValue("presolve")[1] == "off"
    with pytest.raises(ValueError, match="no option 'presolf' that could be 'off'"):
        make_highs(presolf="off")
