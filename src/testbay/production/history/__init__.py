"""What the reports of checks become over time, and whether a check has become slower."""
