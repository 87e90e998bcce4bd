"""The network in a step of the simulator: loads and PV of the day, limits and who keeps them, taps, temperatures."""
