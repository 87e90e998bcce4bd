"""The vehicle catalogue."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ev_marl.scenario.curves import curve_faults
from ev_marl.scenario.schema import Vehicle, Vehicles
from ev_marl.site.vehicles import (
    EU_MIX,
    assumed_curve,
    catalogue,
    catalogue_vehicle,
    charging_hours,
    vehicle_mix,
)
from ev_marl.support.errors import SiteError


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


FAST = [name for name, said in catalogue().items() if "fast" in said]


def test_the_catalogue() -> None:
    assert len(catalogue()) >= 30
    for name, said in catalogue().items():
        vehicle = catalogue_vehicle(name)
        assert 5 <= vehicle.capacity <= 110
        assert said["ac_phases"] in (1, 2, 3)
        assert 2 <= vehicle.ac_power <= 22
        assert said["source"]
        assert set(said["source"]) <= {"O", "E", "M"}
        assert not vehicle.curve or curve_faults(vehicle.curve) is None
        assert not ("curve" in said and "peak" in said)
    assert {name for name in catalogue() if catalogue_vehicle(name).v2g} == {
        "mitsubishi-outlander-phev",
        "nissan-e-nv200-40",
        "nissan-leaf-24",
        "nissan-leaf-30",
        "nissan-leaf-40",
        "vw-id4-77",
    }


@pytest.mark.parametrize("name", FAST)
def test_charging_takes_the_time_that_the_maker_states(name: str) -> None:
    first, last, minutes = catalogue()[name]["fast"]
    hours = charging_hours(catalogue_vehicle(name), first / 100.0, last / 100.0)
    tolerance = (
        0.001 if "peak" in catalogue()[name] else 0.12
    )  # an assumed curve is made so; a published one is measured
    assert hours * 60.0 == pytest.approx(minutes, rel=tolerance)


def test_mixes_have_the_weights_of_the_registrations() -> None:
    mix = vehicle_mix(Vehicles(mix="nl-2023"))
    share = {vehicle.name: vehicle.share for vehicle in mix}
    assert share["kia-niro-65"] == 23105
    assert sum(share.values()) == 225426
    norway = vehicle_mix(Vehicles(mix="no-2023"))
    assert {vehicle.name: vehicle.share for vehicle in norway}["mg4-64"] == 1622
    assert all(vehicle.curve for vehicle in [*mix, *norway])


def test_models_of_the_catalogue_in_an_own_mix() -> None:
    own = Vehicle(name="van", capacity=60.0, ac_power=11.0)
    mix = vehicle_mix(Vehicles(mix=[own, {"model": "nissan-leaf-40", "share": 3}]))
    assert mix[0] == own
    assert (mix[1].share, mix[1].v2g, mix[1].most_dc_kw) == (3.0, True, 45.0)
    with pytest.raises(SiteError, match=r"no vehicle 'nissan-leaf-41'\. Did you mean 'nissan-leaf-40'"):
        vehicle_mix(Vehicles(mix=[{"model": "nissan-leaf-41"}]))
    two = [{"name": "a", "capacity": 50, "ac_power": 11, "curve": [[0, 50], [1, power]]} for power in (10, 20)]
    with pytest.raises(SiteError, match="different charge curves"):
        vehicle_mix(Vehicles(mix=two))


def test_an_assumed_curve_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no curve with the peak 50 kW gives 10 min"):
        assumed_curve(50.0, 50.0, 0.1, 0.8, 10 / 60)


def test_a_curve_beside_a_dc_power_is_refused() -> None:
    with pytest.raises(ValidationError, match="either `curve` or `dc_power`"):
        Vehicle(name="a", capacity=50, ac_power=11, dc_power=50, curve=[(0.0, 50.0), (1.0, 10.0)])
    with pytest.raises(ValidationError, match="does not rise"):
        Vehicle(name="a", capacity=50, ac_power=11, curve=[(0.2, 50.0), (1.0, 10.0)])
