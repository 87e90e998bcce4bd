"""Who solves a power flow: pandapower as the reference, and fast backends that agree with it."""
