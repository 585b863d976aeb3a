"""Checks of a service before and after its deploy: running them, judging the answers, reporting."""
