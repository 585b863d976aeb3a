"""One active scanner: the lease, a scan, and the loop that keeps scanning."""
