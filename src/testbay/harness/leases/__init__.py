"""Leases: one test's private slice of a stack, from a pool that every test process has."""
