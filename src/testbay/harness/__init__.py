"""The first wing, before the merge: real dependencies for tests, a lease for each test, runs and their reports."""
