"""The `testbay` command, also as `python -m testbay`."""

import sys
from importlib import metadata

from testbay import process
from testbay.output import Voice


def main() -> None:
    """Answer --version at once; everything else is the command line's, which takes longer to import."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        Voice().say(f"testbay {metadata.version('testbay')}")
        return
    process.callers()  # before the imports: a parent that ends during them must not go unnoticed
    from testbay.cli import app as cli

    cli.main()


if __name__ == "__main__":
    main()
