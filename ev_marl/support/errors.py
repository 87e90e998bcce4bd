"""The errors that a user of `ev_marl` can cause. Messages say where the error is, what was found, and what to do."""

from __future__ import annotations


class EvMarlError(Exception):
    """Base class of every error that `ev_marl` raises on purpose."""


class SiteError(EvMarlError, ValueError):
    """A coupling graph that is not a site: a cycle, two parents, a group with no station, a negative limit."""


class TrackError(EvMarlError, ValueError):
    """A track that does not fit its site, or a track file that cannot be read."""


class PlanError(EvMarlError, ValueError):
    """A plan that does not fit its episode, or a plan file that cannot be read."""


class DataError(EvMarlError, ValueError):
    """A data file that cannot be read: wrong columns, a missing hour, an impossible time."""


class ArgumentError(EvMarlError, ValueError):
    """An argument of a wrong kind or size: a seed that is text, a count below 1; the message says what is allowed."""


class ActionError(EvMarlError, ValueError):
    """An action that is not finite or has the wrong shape; the message names the agent."""


class PolicyError(EvMarlError, ValueError):
    """A policy that lacks a method, or that returns a wrong shape or powers that are not finite."""


class ObjectiveError(EvMarlError, ValueError):
    """An objective term that is unknown, or that has no expression although a bound or a plan needs it."""


class SolverError(EvMarlError, RuntimeError):
    """A solver that is not installed, or that stopped without a usable answer."""


class RunError(EvMarlError, RuntimeError):
    """A comparison that cannot start or go on: the folder belongs to another run, a policy is unknown."""


class UnknownNameError(EvMarlError, KeyError):
    """A name of no plug-in; the message lists all names and suggests the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])


class TrustError(EvMarlError, RuntimeError):
    """Code that a file names and that the user has not allowed."""


class OptionError(EvMarlError, TypeError):
    """Options that a plug-in does not have; the message lists its options."""


class ConformanceError(EvMarlError, AssertionError):
    """A plug-in that breaks a rule of its protocol; the checks of `ev_marl.testing` raise it."""


class NetworkError(EvMarlError, ValueError):
    """A network that cannot be loaded or solved, or a bus that it does not have."""


def how_to_install(extra: str) -> str:
    """The command that installs the libraries of an extra, such as "grid"."""
    return f'pip install "ev-marl[{extra}]", in a checkout: pip install -e ".[{extra}]"'
