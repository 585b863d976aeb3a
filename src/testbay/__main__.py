"""The `testbay` command, also as `python -m testbay`."""

import gc
import sys
from importlib import metadata

from testbay import process
from testbay.output import Voice, farewell, open_closed_streams


def main() -> None:
    """Print the version at once, as importing the command line takes longer; else run the command."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        open_closed_streams()
        Voice().say(f"testbay {metadata.version('testbay')}")
        sys.exit(farewell(0))
    gc.set_threshold(50_000)  # the imports make many objects and no garbage: a tenth of their time was looking for it
    process.callers()  # before the imports: a parent that ends during them must not go unnoticed
    with process.ctrl_c_without_a_traceback():
        from testbay.cli import app as cli

    cli.main()


if __name__ == "__main__":
    main()
