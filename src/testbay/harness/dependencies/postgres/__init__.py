"""PostgreSQL: its server, the databases that leases get, and the state that is kept of one."""
