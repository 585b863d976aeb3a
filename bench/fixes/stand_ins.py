"""A model and a GitHub on loopback, a clone with a seeded bug and its log: a fix from end to end on one machine.

Usage: .venv/bin/python bench/fixes/stand_ins.py BUG FOLDER [--answer good]

Writes FOLDER/exports, which leads a monitor to them, when all is ready; SIGTERM or Ctrl-C ends it. The model gives the
recorded answer; GitHub lists the pull requests that it has under /repos/acme/shop/pulls.
"""

import argparse
import contextlib
import shlex
import signal
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "services" / "error_monitor" / "tests" / "integration"))

from harness import seeded  # noqa: E402 -- the path is set above
from harness.git_host import GitHost  # noqa: E402
from harness.messages_api import MessagesApi, call  # noqa: E402


def main() -> None:
    """Serve until a signal comes."""
    names = [bug.name for bug in seeded.bugs()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bug", choices=names, metavar="BUG", help=", ".join(names))
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--answer", choices=seeded.KINDS, default="good")
    args = parser.parse_args()
    (bug,) = (one for one in seeded.bugs() if one.name == args.bug)
    folder = args.folder.absolute()
    with MessagesApi() as model, GitHost() as github, contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        github.add_commit(seeded.clone(bug, folder / "clone"))
        model.replies = [[call("list", {})], [call("submit", seeded.answer(bug, args.answer, folder / "clone"), 2)]]
        told = {
            **model.environ, **github.environ, **bug.settings, "ERROR_MONITOR_FIX_CLONE": str(folder / "clone"),
            "LOG_FILES": str(bug.write_log(folder)), "AUTO_FIX_ENABLED": "true", "ERROR_MONITOR_INTERVAL": "10",
            "ERROR_MONITOR_FIX_PAUSE_S": "1", "ERROR_MONITOR_SETTLE_S": "0",
        }  # fmt: skip
        lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items())
        (folder / "exports.part").write_text(lines, encoding="utf-8")
        (folder / "exports.part").rename(folder / "exports")
        signal.pause()


if __name__ == "__main__":
    main()
