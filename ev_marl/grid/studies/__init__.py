"""Studies of a network: a year, a day on three phases, a map, the agreement of the solvers."""
