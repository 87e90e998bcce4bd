"""The network above the site in the optimum."""
