"""Faults that a test puts on the way to its dependencies."""
