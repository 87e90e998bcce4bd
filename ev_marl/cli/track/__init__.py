"""`ev-marl track`: draw a day, import days from data, part them, look at a day."""
