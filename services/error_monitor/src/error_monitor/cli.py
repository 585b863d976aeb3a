"""The command line: `error-monitor COMMAND …`."""

import argparse
import os
import sys
from collections.abc import Sequence

from error_monitor import __version__, cli_read, cli_serve
from error_monitor.settings import SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="error-monitor", description="Reads logs and groups the errors in them.")
    parser.add_argument("--version", action="version", version=f"error-monitor {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    cli_read.add(commands)
    cli_serve.add(commands)
    args = parser.parse_args(argv)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except SettingsError as exc:
        sys.stderr.writelines(f"error-monitor: {line}\n" for line in str(exc).splitlines())
        return 2
    except OSError as exc:
        sys.stderr.write(f"error-monitor: {exc.filename or 'standard output'}: {exc.strerror or exc}\n")
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what is still to be written fails once more at the exit
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 1
    return code
