"""GitHub issues that say what is wrong now: opened, edited and closed to match what a run of checks found."""
