"""What counts in a reward: a file for each term, its value on arrays and its expression for plans side by side."""

from ev_marl.objective.base import TERMS, DayModel, Term, expression_of
from ev_marl.objective.objective import Costs, Objective

__all__ = ["TERMS", "Costs", "DayModel", "Objective", "Term", "expression_of"]
