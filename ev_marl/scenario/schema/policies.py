"""The key `policies`: how policies are named."""

from __future__ import annotations

LEARNED = ("rllib", "central")
"""What stands before the colon of a learned policy's folder, which is no module."""


def policy_name(policy: str) -> str:
    """Name of a policy that is written with options; empty for a learned one, which is named by its folder."""
    name = policy.partition("(")[0].strip()
    return "" if name.partition(":")[0] in LEARNED else name
