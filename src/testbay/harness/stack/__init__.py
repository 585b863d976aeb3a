"""A stack: planned, started by a guard that owns it, awaited, leased, ended."""
