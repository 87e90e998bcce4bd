"""`python -m ev_marl` is the command `ev-marl`."""

import os
import sys

if __name__ == "__main__":
    if sys.path[:1] == [os.getcwd()]:  # Python put it there; files in it must not take the place of installed modules
        sys.path.append(sys.path.pop(0))
    from ev_marl.cli import main

    main()
