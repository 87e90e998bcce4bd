"""HiGHS as it is made here."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_another_user_of_highs_in_the_process_is_no_obstacle(threads: int) -> None:
    """HiGHS's threads belong to the process: whoever comes first says how many there are."""
    code = (
        "import highspy, numpy as np\n"
        "from ev_marl.support.highs import make_highs\n"
        "def solved(highs):\n"
        "    highs.addVars(1, np.zeros(1), np.ones(1))\n"
        "    highs.changeColCost(0, -2.0)\n"
        "    highs.run()\n"
        "    return highs.getObjectiveValue()\n"
        "other = highspy.Highs()\n"
        f"other.setOptionValue('threads', {threads})\n"
        "other.setOptionValue('parallel', 'on')\n"
        "assert [solved(other), solved(make_highs()), solved(make_highs())] == [-2.0, -2.0, -2.0]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
