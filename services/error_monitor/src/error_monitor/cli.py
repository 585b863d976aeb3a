"""The command line: `error-monitor COMMAND …`."""

import argparse
from collections.abc import Sequence

from error_monitor import __version__, cli_read, cli_serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="error-monitor", description="Reads logs and groups the errors in them.")
    parser.add_argument("--version", action="version", version=f"error-monitor {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    cli_read.add(commands)
    cli_serve.add(commands)
    args = parser.parse_args(argv)
    return int(args.run(args))
