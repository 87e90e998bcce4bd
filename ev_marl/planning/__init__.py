"""Plans for the rest of a day: the outlook on what may come, plans of single vehicles, bookings, the programme."""
