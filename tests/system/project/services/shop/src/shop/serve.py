"""The service's own process: says that it is there and waits to be ended."""

import signal
import sys


def main() -> None:
    """Run until SIGTERM."""
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
