"""Fixes that prove themselves: a ladder of seven rungs, each of which can refuse and says why."""
