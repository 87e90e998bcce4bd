"""HiGHS as the optimum and the receding-horizon plans use it: silent, and the same answer on every run.

Options come in, a solver without a model goes out. Both call HiGHS directly, without Pyomo.
"""

from __future__ import annotations

import highspy


class _Silent(highspy.Highs):
    """HiGHS without any output: since 1.16 its constructor prints before options can be set."""

    def enableCallbacks(self) -> None:  # HiGHS's name; its constructor calls it first
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]

    def run(self) -> highspy.HighsStatus:
        """Solve, also where another user of HiGHS in this process has started its threads, in another number.

        Threads are the process's, and HiGHS refuses to run with another number of them than there are. It then takes
        those that are there, and still works with one.
        """
        status = super().run()
        if status == highspy.HighsStatus.kError and self.getModelStatus() == highspy.HighsModelStatus.kNotset:
            self.setOptionValue("threads", 0)
            self.setOptionValue("parallel", "off")
            status = super().run()
        return status


def make_highs(**options: bool | int | float | str) -> highspy.Highs:
    """Make a solver: dual simplex, one thread, fixed seed, silent.

    Parameters
    ----------
    **options : bool, int, float or str
        Further options of HiGHS by name.

    Raises
    ------
    ValueError
        If HiGHS has no such option, or not with this value.
    """
    highs = _Silent()  # type: ignore[no-untyped-call]  # highspy is partly typed
    defaults: dict[str, bool | int | float | str]
    defaults = {"output_flag": False, "threads": 1, "random_seed": 0, "solver": "simplex", "simplex_strategy": 1}
    for option, value in (defaults | options).items():
        if highs.setOptionValue(option, value) != highspy.HighsStatus.kOk:
            raise ValueError(f"HiGHS has no option '{option}' that could be {value!r}")
    return highs
