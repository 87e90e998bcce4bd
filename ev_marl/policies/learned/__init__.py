"""Policies that were trained."""
