"""Readers of public data sets: charging sessions (ACN-Data, ElaadNL) and day-ahead prices (ENTSO-E, Ember)."""
