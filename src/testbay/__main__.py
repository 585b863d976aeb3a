"""`python -m testbay` is the `testbay` command."""

from testbay.cli import main

if __name__ == "__main__":
    main()
