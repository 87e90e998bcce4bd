"""The network in a step of the simulator: its days, its limits and who keeps them, taps, warm transformers."""
