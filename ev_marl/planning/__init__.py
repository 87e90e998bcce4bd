"""Plans for the rest of a day: outlooks on the future, plans of single vehicles, bookings, the linear programme."""
