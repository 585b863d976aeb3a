"""testbay: real PostgreSQL, Dragonfly and NATS JetStream for every test run, gone without a trace afterwards."""
