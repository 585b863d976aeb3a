"""A stack: planned, started by a guard that owns it, waited for, leased, ended."""
