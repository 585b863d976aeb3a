"""Secrets: fetched from their store for one child process, and kept out of everything that is written."""
