"""The command line `ev-marl`: `commands` says how commands are called, the other files what they do."""

from ev_marl.cli.commands import app, main

__all__ = ["app", "main"]
