"""The postgresql.conf that an init script finds in $PGDATA: what the script writes there counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbay.harness.dependencies.postgres import conffile, native
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.stack.stack import Stack

_NAME = "postgresql.conf"


@contextmanager
def lent(stack: Stack, folder: Path) -> Iterator[None]:
    """Put a copy of the server's file into the folder for a block; append the settings that are new in it to the file.

    Like what ALTER SYSTEM has set, they hold from the server's next start on: with the template, which is kept next.
    """
    answer = postgres.psql(stack.endpoints[postgres.NAME], ["-At", "-c", "SHOW config_file"], timeout_s=10)
    own, copy = Path(answer.out.strip()), folder / _NAME
    before = own.read_text(encoding="utf-8", errors="surrogateescape")
    copy.write_text(before, encoding="utf-8", errors="surrogateescape")
    yield
    after = copy.read_text(encoding="utf-8", errors="surrogateescape") if copy.is_file() else before
    known = conffile.assigned(before)
    new = [setting for setting in conffile.assigned(after) if setting not in known]
    added = native.usable(new, stack.request.servers[postgres.NAME])
    with own.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in added)
