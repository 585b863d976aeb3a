"""Compose files, read as Docker Compose reads them: one reading for both engines."""
