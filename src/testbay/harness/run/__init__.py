"""One run of a service's integration tests, from its start to what is looked at long after it."""
