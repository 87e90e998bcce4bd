"""The linear programme of a day, or of the rest of a day: pairs, rows and cuts."""
