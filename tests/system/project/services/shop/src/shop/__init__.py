"""A service small enough to read at a glance: it answers one line on standard output."""
