"""One run of a service's integration tests: its steps, its record, its report and its kept state."""
