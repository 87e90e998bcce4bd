"""The command line `ev-marl`: a file for each command, with its options and its help.

`app` names the commands and loads the file of one when it runs; `options` has the options that several share.
"""

from ev_marl.cli.app import app, main

__all__ = ["app", "main"]
