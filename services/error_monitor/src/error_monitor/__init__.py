"""error_monitor reads logs and groups the errors in them into patterns."""

__version__ = "0.1.0"
