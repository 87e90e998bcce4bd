"""Training with RLlib, and adapters for Stable-Baselines3, TorchRL and others.

Modules that need a heavy package import it at the top, and nothing here imports them.
"""
