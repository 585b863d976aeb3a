"""NATS JetStream: its server, the accounts that leases get, and the state that is kept of one."""
