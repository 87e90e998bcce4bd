"""`ev-marl track`: draw a day, import days from data, look at a day."""
