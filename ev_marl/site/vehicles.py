"""Vehicle catalogue: usable capacity and charging powers of common European cars.

Capacities and powers are those of the manufacturers' technical data sheets for the European market (Fiat, Renault,
Peugeot, Nissan, Volkswagen, Hyundai, Kia, Skoda, Tesla, BMW, Volvo; model years 2019 to 2023), rounded; where a sheet
has the gross capacity only, the usable one is the commonly published figure. The weights of the mix `eu` are
illustrative: small, middle and large cars and a few plug-in hybrids, in the rough order of their popularity, and no
registration statistics. Charging slows down from 80 % for all, as the sheets' "10 to 80 %" for fast charging suggests.
"""

from __future__ import annotations

from ev_marl.scenario.schema import Vehicle, Vehicles

EU_MIX: tuple[Vehicle, ...] = (
    Vehicle(name="fiat-500e", share=2, capacity=37.3, ac_power=11.0, dc_power=85.0),
    Vehicle(name="renault-zoe-ze50", share=3, capacity=52.0, ac_power=22.0, dc_power=46.0),
    Vehicle(name="peugeot-e208", share=3, capacity=46.3, ac_power=7.4, dc_power=100.0),
    Vehicle(name="nissan-leaf", share=2, capacity=39.0, ac_power=6.6, dc_power=46.0),
    Vehicle(name="vw-id3-pro", share=4, capacity=58.0, ac_power=11.0, dc_power=120.0),
    Vehicle(name="hyundai-kona-64", share=3, capacity=64.0, ac_power=11.0, dc_power=77.0),
    Vehicle(name="kia-e-niro-64", share=3, capacity=64.0, ac_power=11.0, dc_power=77.0),
    Vehicle(name="skoda-enyaq-80", share=3, capacity=77.0, ac_power=11.0, dc_power=135.0),
    Vehicle(name="tesla-model-3-lr", share=4, capacity=75.0, ac_power=11.0, dc_power=250.0),
    Vehicle(name="tesla-model-y-lr", share=4, capacity=75.0, ac_power=11.0, dc_power=250.0),
    Vehicle(name="hyundai-ioniq-5-lr", share=2, capacity=74.0, ac_power=11.0, dc_power=220.0),
    Vehicle(name="bmw-i4-edrive40", share=1, capacity=80.7, ac_power=11.0, dc_power=205.0),
    Vehicle(name="vw-golf-gte", share=2, capacity=10.6, ac_power=3.6, dc_power=0.0),
    Vehicle(name="volvo-xc60-recharge", share=2, capacity=14.9, ac_power=3.7, dc_power=0.0),
)


def vehicle_mix(vehicles: Vehicles) -> list[Vehicle]:
    """The vehicles of a scenario with their shares.

    Parameters
    ----------
    vehicles : Vehicles
        `mix` is a named mix or a list of vehicles.
    """
    return list(EU_MIX) if vehicles.mix == "eu" else list(vehicles.mix)
