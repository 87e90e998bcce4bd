"""Bridges to training libraries: RLlib, Stable-Baselines3, TorchRL; and learned policies, which need none of them.

Modules that need a heavy package import it at the top, and nothing here imports them.
"""
