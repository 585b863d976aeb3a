"""Checks of a service before and after its deploy: what the manifest asks for, asked, judged and reported."""
