"""Elements beyond lines, transformers and loads, each added to a low-voltage network at one of its buses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandapower


def ward(net: Any, bus: int) -> None:
    """Constant power and a shunt in one."""
    pandapower.create_ward(net, bus, ps_mw=0.003, qs_mvar=0.001, pz_mw=0.006, qz_mvar=0.002)


def extended_ward(net: Any, bus: int) -> None:
    """The same, with a voltage held behind an impedance."""
    pandapower.create_xward(net, bus, 0.003, 0.001, 0.006, 0.002, r_ohm=1.0, x_ohm=2.0, vm_pu=0.98)


def motor(net: Any, bus: int) -> None:
    """An asynchronous motor, which pandapower takes as constant power."""
    pandapower.create_motor(net, bus, pn_mech_mw=0.005, cos_phi=0.9, efficiency_percent=92.0)


def one_phase(net: Any, bus: int) -> None:
    """A load and a plant of which a balanced power flow sees the sum of the phases."""
    pandapower.create_asymmetric_load(net, bus, 0.003, 0.001, 0.0, 0.001, 0.0, 0.0)
    pandapower.create_asymmetric_sgen(net, bus, 0.0, 0.002, 0.0, 0.0, 0.0, 0.0)


def switch_with_impedance(net: Any, bus: int) -> None:
    """A closed switch that is not without losses, and a load behind it."""
    behind = pandapower.create_bus(net, float(net.bus.vn_kv[bus]))
    pandapower.create_switch(net, bus, behind, et="b", closed=True, z_ohm=0.05)
    pandapower.create_load(net, behind, p_mw=0.01, q_mvar=0.002)


def three_windings(net: Any, bus: int) -> None:
    """A transformer to two more voltages, each with a load."""
    middle, low = pandapower.create_bus(net, 0.4), pandapower.create_bus(net, 0.23)
    pandapower.create_transformer3w_from_parameters(
        net, bus, middle, low, vn_hv_kv=0.4, vn_mv_kv=0.4, vn_lv_kv=0.23, sn_hv_mva=0.05, sn_mv_mva=0.03,
        sn_lv_mva=0.02, vk_hv_percent=4.0, vk_mv_percent=4.0, vk_lv_percent=4.0, vkr_hv_percent=1.0, vkr_mv_percent=1.0,
        vkr_lv_percent=1.0, pfe_kw=0.1, i0_percent=0.2, shift_mv_degree=0.0, shift_lv_degree=150.0,
    )  # fmt: skip
    pandapower.create_load(net, middle, p_mw=0.004, q_mvar=0.001)
    pandapower.create_load(net, low, p_mw=0.002)


def beside_the_slack(net: Any, bus: int) -> None:
    """A generator at the bus of the external grid, which holds the voltage already; `bus` is left alone."""
    del bus
    above = int(net.ext_grid.bus.iloc[0])
    pandapower.create_gen(net, above, p_mw=0.02, vm_pu=float(net.ext_grid.vm_pu.iloc[0]))


def behind_a_switch_at_the_slack(net: Any, bus: int) -> None:
    """The same, with a closed switch between them."""
    del bus
    above = int(net.ext_grid.bus.iloc[0])
    behind = pandapower.create_bus(net, float(net.bus.vn_kv[above]))
    pandapower.create_switch(net, above, behind, et="b", closed=True)
    pandapower.create_gen(net, behind, p_mw=0.02, vm_pu=float(net.ext_grid.vm_pu.iloc[0]))


def follow_the_voltage(net: Any, bus: int) -> None:
    """All loads draw by the voltage: some by the current, some by the impedance, some by neither."""
    del bus
    shares = {"const_z_p": 40.0, "const_i_p": 30.0, "const_z_q": 70.0, "const_i_q": 20.0}
    for name, percent in shares.items():
        net.load[f"{name}_percent"] = percent
        net.load.loc[net.load.index[0], f"{name}_percent"] = 0.0


ELEMENTS: dict[str, tuple[Callable[[Any, int], None], str]] = {
    "ward": (ward, "zbus"),
    "extended ward": (extended_ward, "newton"),
    "motor": (motor, "zbus"),
    "one phase": (one_phase, "zbus"),
    "switch with impedance": (switch_with_impedance, "zbus"),
    "three windings": (three_windings, "zbus"),
    "beside the slack": (beside_the_slack, "zbus"),
    "behind a switch at the slack": (behind_a_switch_at_the_slack, "zbus"),
    "follow the voltage": (follow_the_voltage, "zbus"),
}
"""How to add them, and which backend takes a network that has them and no generator that holds a voltage."""
