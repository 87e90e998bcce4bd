"""`python -m ev_marl` is the command `ev-marl`."""

from ev_marl.cli import main

if __name__ == "__main__":
    main()
