"""What the tests stand on: the service's process, its proxied dependencies, and clients that look from outside."""
