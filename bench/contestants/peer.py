"""pytest-postgresql: the migrations are loaded into its template once, each test gets a copy of that.

Its own server part refuses to run as root, so it gets a server that runs already: the bench's, with fsync off on a RAM
disk. That is generous: its start-up and a server of its own for each worker are not in its numbers.
"""

import os

from common import migrations
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql import factories

_server = conninfo_to_dict(os.environ["BENCH_DSN"])
postgresql_server = factories.postgresql_noproc(
    host=str(_server["host"]),
    port=str(_server["port"]),
    user=str(_server["user"]),
    password=str(_server["password"]),
    dbname="peer",
    load=[*migrations()],
)
postgresql = factories.postgresql("postgresql_server")
