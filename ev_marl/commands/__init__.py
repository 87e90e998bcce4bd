"""What the commands of `ev-marl` do; `ev_marl.cli` says how they are called, and loads what a command needs."""
