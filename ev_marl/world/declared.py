"""What drivers say of departure and wish on arrival, and how far that is from the truth.

True lengths of stay and wishes come in; the ones that were said go out. Figures of measured drivers are in their file
of sessions, see `ev_marl.world.measured_sessions`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from ev_marl.scenario import schema
from ev_marl.scenario.schema.session_file import SessionFile
from ev_marl.support.errors import DataError

LEAST_SAID_H = 1.0 / 60.0  # shortest stay that anybody says [h]


@dataclass(frozen=True)
class Said:
    """What N drivers say."""

    stay_h: np.ndarray  # float64 (N,)  length of stay as said on arrival [h]
    revised_after_h: np.ndarray  # float64 (N,)  time after arrival at which it is replaced, inf: never [h]
    revised_h: np.ndarray  # float64 (N,)  length of stay as said from then on; NaN: the true one [h]
    overstated_kwh: np.ndarray  # float64 (N,)  wish as said less the true one [kWh]

    @classmethod
    def truth(cls, stay_h: np.ndarray) -> Said:
        """All say the truth."""
        n = len(stay_h)
        return cls(stay_h, np.full(n, np.inf), np.full(n, np.nan), np.zeros(n))

    def take(self, which: np.ndarray) -> Said:
        """Some of the drivers."""
        return Said(*(getattr(self, entry.name)[which] for entry in fields(self)))

    @classmethod
    def together(cls, parts: list[Said]) -> Said:
        """The drivers of all parts, one part after the other."""
        return cls(*(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in fields(cls)))


class Misjudged:
    """A share leaves early, a share late, by exponentially distributed times; all others say the truth.

    Parameters
    ----------
    early, late : schema.Misjudged, optional
        Shares and means; left out: nobody.
    """

    def __init__(self, early: schema.Misjudged | None, late: schema.Misjudged | None) -> None:
        none = schema.Misjudged(share=0.0, by=1.0)
        self._early, self._late = early or none, late or none

    def draw(self, stay_h: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Lengths of stay as said on arrival, of the true ones, float64, shape (n,) [h].

        Who stays for less than what they would be late says `LEAST_SAID_H`.
        """
        kind, by = rng.random(len(stay_h)), rng.standard_exponential(len(stay_h))
        early = kind < self._early.share
        late = ~early & (kind < self._early.share + self._late.share)
        said = stay_h + np.where(early, self._early.by * by, 0.0) - np.where(late, self._late.by * by, 0.0)
        return np.asarray(np.where(late, np.maximum(said, LEAST_SAID_H), said))


class MeasuredSayings:
    """As measured: quantiles of the stay said over the true one, by the length of the true one, straight between them.

    Parameters
    ----------
    measured : SessionFile
        A file with `declared`.

    Raises
    ------
    DataError
        If the file has none.
    """

    def __init__(self, measured: SessionFile) -> None:
        if not measured.declared:
            raise DataError(
                "this file of sessions has no `declared`: fit it again to data with the departures that drivers said"
            )
        self._levels = np.array(measured.levels)
        self._longest_h = np.array([entry.stay_h for entry in measured.declared])
        self._over_true = np.array([entry.said for entry in measured.declared])

    def draw(self, stay_h: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Lengths of stay as said on arrival, of the true ones, float64, shape (n,) [h]."""
        entry = np.minimum(np.searchsorted(self._longest_h, stay_h), len(self._longest_h) - 1)
        probability = rng.random(len(stay_h))
        ratio = np.empty(len(stay_h))
        for k, quantiles in enumerate(self._over_true):
            ratio[entry == k] = np.interp(probability[entry == k], self._levels, quantiles)
        return np.asarray(np.maximum(LEAST_SAID_H, ratio * stay_h))


def draw_said(
    model: Misjudged | MeasuredSayings,
    declared: schema.Declared,
    stay_h: np.ndarray,
    wanted_kwh: np.ndarray,
    rng: np.random.Generator,
) -> Said:
    """What drivers say of their stays and wishes.

    Parameters
    ----------
    model : Misjudged or MeasuredSayings
        What they say on arrival.
    declared : schema.Declared
        Who tells the truth later, and what is said of the wish.
    stay_h, wanted_kwh : float64, shape (n,)
        True lengths of stay [h] and wishes [kWh].
    rng : numpy.random.Generator
        Source of the draws.
    """
    said_h, draws = model.draw(stay_h, rng), rng.random(len(stay_h))
    after_h = np.full(len(stay_h), np.inf)
    if declared.revised is not None:
        tells = draws < declared.revised.share
        after_h[tells] = np.maximum(0.0, np.minimum(said_h, stay_h)[tells] - declared.revised.ahead)
    said = replace(Said.truth(said_h), revised_after_h=after_h)
    if declared.energy is None:
        return said
    return replace(said, overstated_kwh=_overstated(declared.energy, wanted_kwh, rng))


def _overstated(said: schema.DeclaredEnergy, wanted_kwh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Wish as said less the true one; a share says more, a share less, down to nothing [kWh]."""
    kind, by = rng.random(len(wanted_kwh)), rng.standard_exponential(len(wanted_kwh))
    off, first = np.zeros(len(wanted_kwh)), 0.0
    for sign, part in ((1.0, said.more), (-1.0, said.less)):
        if part is not None:
            here = (first <= kind) & (kind < first + part.share)
            off[here] = sign * part.by * by[here]
            first += part.share
    return np.asarray(np.maximum(off, -wanted_kwh))
