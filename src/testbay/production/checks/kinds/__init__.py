"""The kinds of checks, one module each. A check that does not pass raises FoundError with its finding."""
