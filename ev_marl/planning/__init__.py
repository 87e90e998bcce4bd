"""Thinking ahead: what is expected, the own plan of a vehicle, bookings, the programme of the rest of a day."""
