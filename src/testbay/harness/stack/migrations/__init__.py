"""Migrations: a folder of ordered SQL files, applied by psql, or the service's own command."""
