"""Policies that follow a rule: each port by itself, or one after the other."""
