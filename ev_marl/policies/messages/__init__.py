"""Policies whose stations exchange messages with the nodes of the coupling graph."""
