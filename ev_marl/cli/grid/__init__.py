"""`ev-marl grid`: a network as it was built, a year of it, a day on three phases; how well the backends agree."""
