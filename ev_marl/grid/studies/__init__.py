"""A scenario looked at as a whole: its network as a picture, a year of it, a day on three phases."""
