"""The history of checks, made from their reports, and the test whether a check has become slower."""
