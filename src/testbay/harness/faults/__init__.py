"""What breaks a test's way to its dependencies on purpose."""
