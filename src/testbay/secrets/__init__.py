"""Secrets: from where they are kept into one child process, and out of everything that is written."""
