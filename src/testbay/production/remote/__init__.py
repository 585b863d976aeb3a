"""Clients of remote services: GitHub, Railway, and receivers of messages."""
