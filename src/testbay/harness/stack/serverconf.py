"""The postgresql.conf that an init script finds in $PGDATA: what the script writes there counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbay.harness.dependencies.postgres import conffile, native
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.stack.stack import Stack
from testbay.output import Voice

_NAME = "postgresql.conf"


@contextmanager
def lent(stack: Stack, folder: Path, voice: Voice) -> Iterator[None]:
    """Put a copy of the server's file into the folder for a block; append the settings that are new in it to the file.

    Like what ALTER SYSTEM has set, they hold from the server's next start on: with the template, which is kept next.
    A setting that only the image's version has would keep this server from starting; it is named instead.
    """
    asked = ["-At", "-c", "SHOW config_file", "-c", "SELECT lower(name) FROM pg_settings"]
    place, *names = postgres.psql(stack.endpoints[postgres.NAME], asked, timeout_s=10).out.splitlines()
    own, copy = Path(place), folder / _NAME
    before = own.read_text(encoding="utf-8", errors="surrogateescape")
    copy.write_text(before, encoding="utf-8", errors="surrogateescape")
    yield
    after = copy.read_text(encoding="utf-8", errors="surrogateescape") if copy.is_file() else before
    known = conffile.assigned(before)
    new = [setting for setting in conffile.assigned(after) if setting not in known]
    usable = native.usable(new, stack.request.servers[postgres.NAME])
    added = [(name, value) for name, value in usable if name in names or "." in name]
    for name in dict.fromkeys(name for name, _ in usable if name not in names and "." not in name):
        voice.detail(f"note: an init script sets {name} in {_NAME}, which this server does not have")
    with own.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in added)
