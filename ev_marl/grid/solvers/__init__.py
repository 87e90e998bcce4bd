"""Solvers of the power flow: pandapower as the reference, and fast ones that agree with it."""
