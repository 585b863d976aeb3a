"""The second wing, after the merge: checks of a deployed service, their history, incidents, status page, metrics."""
