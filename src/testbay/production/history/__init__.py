"""The history of checks, from their reports, and the judgement whether a check has become slower."""
