"""The command line: `error-monitor COMMAND …`."""

import argparse
from collections.abc import Sequence

from error_monitor import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="error-monitor", description="Reads logs and groups the errors in them.")
    parser.add_argument("--version", action="version", version=f"error-monitor {__version__}")
    parser.parse_args(argv)
    return 0
