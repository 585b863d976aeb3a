"""Dragonfly: its server, the keyspaces that leases get, and the state that is kept of one."""
