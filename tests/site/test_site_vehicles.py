"""The vehicle catalogue."""

from __future__ import annotations

from ev_marl.scenario.schema import Vehicle, Vehicles
from ev_marl.site.vehicles import EU_MIX, vehicle_mix


def test_european_mix() -> None:
    mix = vehicle_mix(Vehicles())
    assert mix == list(EU_MIX)
    assert len({vehicle.name for vehicle in mix}) == len(mix) >= 12
    for vehicle in mix:
        assert 5 <= vehicle.capacity <= 110
        assert 2 <= vehicle.ac_power <= 22
        assert vehicle.dc_power == 0 or vehicle.dc_power > vehicle.ac_power
    plug_in_hybrids = [vehicle for vehicle in mix if vehicle.dc_power == 0]
    assert plug_in_hybrids
    assert all(vehicle.capacity < 20 for vehicle in plug_in_hybrids)


def test_own_mix() -> None:
    own = Vehicle(name="van", capacity=60.0, ac_power=11.0)
    assert vehicle_mix(Vehicles(mix=[own])) == [own]
