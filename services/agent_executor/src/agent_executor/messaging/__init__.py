"""NATS and Dragonfly: the events that come in and go out, their deliveries, and a job's progress."""
