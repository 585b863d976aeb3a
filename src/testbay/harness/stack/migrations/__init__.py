"""Migrations: a folder of ordered SQL through psql, or the service's own command."""
