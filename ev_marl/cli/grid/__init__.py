"""`ev-marl grid`: a network as it was built, a year of it, a day on three phases; how well the backends agree."""

import ev_marl.grid.model.sources  # noqa: F401  says how to install pandapower, where it is missing
