"""The optimum of a known day: a Pyomo model, the bound with its proof, the plan, the shadow prices."""

from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.price_interval import shadow_price_interval
from ev_marl.optimum.solution import Certificate, Formulation, GridReport, Looseness, Seconds, Solution
from ev_marl.optimum.solve import TIME_LIMIT_S, check_bound, looseness_of_levels, solve, solve_day

__all__ = [
    "TIME_LIMIT_S",
    "Certificate",
    "Formulation",
    "GridProblem",
    "GridReport",
    "Looseness",
    "Seconds",
    "Solution",
    "check_bound",
    "looseness_of_levels",
    "shadow_price_interval",
    "solve",
    "solve_day",
]
