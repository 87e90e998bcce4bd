"""HiGHS as the optimum and the receding-horizon plans use it: silent, and the same answer on every run.

Options come in, a solver without a model goes out. Both call HiGHS directly, without Pyomo.
"""

from __future__ import annotations

import highspy
import numpy as np

Bounds = tuple[np.ndarray, np.ndarray]


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


def pass_linear_program(
    highs: highspy.Highs,
    cost: np.ndarray,
    columns: Bounds,
    rows: Bounds,
    entries: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> highspy.HighsStatus:
    """Give HiGHS a linear programme to minimise, by rows.

    Parameters
    ----------
    highs : highspy.Highs
        The solver.
    cost : float64, shape (n_columns,)
        Cost of each column.
    columns, rows : pair of float64, shape (n_columns,) and (n_rows,)
        Lower and upper bounds.
    entries : starts (n_rows + 1,), columns (Z,), values (Z,)
        Coefficients in compressed rows.

    Returns
    -------
    highspy.HighsStatus
        kError if HiGHS does not take it.
    """
    starts, column, values = entries
    return highs.passModel(
        len(cost),
        len(starts) - 1,
        len(values),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        cost,
        *columns,
        *rows,
        starts.astype(np.int32),
        column.astype(np.int32),
        values,
        np.zeros(len(cost), dtype=np.int32),  # none is an integer
    )
