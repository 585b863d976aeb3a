"""`python -m error_monitor` is `error-monitor`."""

import sys

from error_monitor.cli import main

sys.exit(main())
