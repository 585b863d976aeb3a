"""Leases: one test's private slice of a stack, from the pool in every test process."""
