"""The linear programme of a day, or of what is left of it: pairs, rows and cuts."""
