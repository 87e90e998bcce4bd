"""Our charge curve against the two-stage model of ACN-Sim (Lee et al., 2021), written down from its published formula.

There, state of charge s rises by Δp = V·I·Δt/C on the line below the pilot-adjusted knee τ′ = τ + (Δp − Δm)/Δm·(τ − 1)
and exponentially above it. It has no efficiency, so ours is compared at η = 1.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ev_marl.site.charge_curve import energy_after


def acn_two_stage(soc: float, pilot_kw: float, own_kw: float, capacity_kwh: float, knee: float, hours: float) -> float:
    """State of charge after `hours` at a constant pilot, ACN-Sim's closed form."""
    own_rise = own_kw * hours / capacity_kwh
    rise = min(pilot_kw * hours / capacity_kwh, own_rise)
    knee_here = knee + (rise - own_rise) / own_rise * (knee - 1)
    if soc < knee_here:
        if rise <= knee_here - soc:
            return soc + rise
        return 1 + (knee_here - 1) * math.exp((rise + soc - knee_here) / (knee_here - 1))
    return 1 + (soc - 1) * math.exp(rise / (knee_here - 1))


@pytest.mark.parametrize("pilot_kw", [3.0, 11.0, 22.0])
@pytest.mark.parametrize("hours", [1 / 12, 0.25, 1.0])
def test_agrees_with_the_two_stage_model(pilot_kw: float, hours: float) -> None:
    capacity_kwh, own_kw, knee = 50.0, 22.0, 0.8
    socs = np.linspace(0, 0.999, 200)
    expected = [acn_two_stage(soc, pilot_kw, own_kw, capacity_kwh, knee, hours) for soc in socs]
    tau_h = (1 - knee) * capacity_kwh / own_kw
    ours = energy_after(socs * capacity_kwh, hours, pilot_kw, capacity_kwh, tau_h) / capacity_kwh
    np.testing.assert_allclose(ours, expected, atol=1e-12)
