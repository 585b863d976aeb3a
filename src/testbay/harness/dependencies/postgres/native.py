"""PostgreSQL as a native process: its plan, and its differences from the image."""

import base64
import hashlib
import hmac
import re
import signal
from collections.abc import Iterable
from pathlib import Path

from testbay import process
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import conffile, image, programs
from testbay.harness.dependencies.postgres.collation import order
from testbay.harness.dependencies.postgres.server import DEFAULT_PORT, NAME, quoted
from testbay.harness.plans import PORT, Preparation, ProcessPlan, process_plan
from testbay.manifest.compose.reading import ComposeService

_ZONE = re.compile(r"(?!posix|right)[A-Z]\w*(/[A-Za-z]\w*([+-]\w+)*){0,2}")
_SYSTEM_ZONES = Path("/usr/share/zoneinfo")
_NO_INSTRUCTIONS_SINCE = 14  # initdb's option
# A crash of the machine ends the stack anyway. Where the RAM disk is too small (64 MiB in a container) the data is on
# disk, and a database is dropped in a tenth of the time. The compose file's word counts.
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")
# By the major version that knows it; a template has it in its postgresql.conf, and the compose file's word counts.
_LEAN = {
    16: "wal_recycle=off",  # each start would copy files of the log that are kept for later
    18: "io_method=sync",  # three processes that read ahead of a disk: a sixth of a start's work
}
_LONG_PWFILE_SINCE = 14  # before, initdb cut what it read from one after 100 characters
_PRELOADED = "shared_preload_libraries"


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """Plan initdb, the databases, then the server, which listens on loopback TCP alone: a socket needs a short path."""
    config = image.config_of(service)
    data = home / "data"
    secret = _scram_secret(config.password, server.hash_rounds) if config.password else ""
    steps: list[Preparation] = [{"argv": _initdb(service, config, server, home)}]
    statements = []
    if secret and programs.major(server) < _LONG_PWFILE_SINCE:
        statements.append(f"ALTER ROLE {quoted(config.user)} PASSWORD '{secret}';\n")
    made = dict.fromkeys(name for name in (config.db, *config.further) if name != "postgres")
    statements += [f"CREATE DATABASE {quoted(name)};\n" for name in made]
    if statements:
        single = [str(server.program), "--single", "-D", str(data), "-c", "fsync=off", "postgres"]
        steps.append({"argv": single, "stdin": "".join(statements)})
    # The last setting counts: those that the embedded engine needs come after those of the compose file.
    argv = [str(server.program), *(word for setting in _NOT_DURABLE for word in ("-c", setting))]
    argv += [*_zone(service, server), *_flags(config, server), "-D", str(data), "-p", PORT]
    for setting in (
        *("listen_addresses=127.0.0.1", "ssl=off", "unix_socket_directories=", "logging_collector=off"),
        *("dynamic_shared_memory_type=mmap", f"cluster_name={home.parent.name}"),
    ):
        argv += ["-c", setting]
    return process_plan(
        NAME,
        home,
        argv,
        port=DEFAULT_PORT,
        # Immediate shutdown: the data is thrown away, and unlike SIGKILL it gives shared memory back.
        stop_signal=signal.SIGQUIT,
        pause_signal=signal.SIGINT,
        files={"secret": secret + "\n"} if secret else {},
        prepare=steps,
        env={"LC_ALL": "C.UTF-8" if process.LINUX else "C", "PGTZ": "UTC", "TZ": "UTC"},
        reads=server.reads,
    )


def _initdb(service: ComposeService, config: image.PostgresConfig, server: Server, home: Path) -> list[str]:
    """The initdb command: the password is in a file, not in the argv, and nothing is synced to disk."""
    argv = [str(server.bin_dir / "initdb"), "-D", str(home / "data"), "-U", config.user]
    argv += ["--pwfile", str(home / "secret")] if config.password else []
    argv += [f"--auth={'trust' if config.auth == 'trust' else 'scram-sha-256'}", "--no-sync", "--wal-segsize=1"]
    argv += [word for since, said in _LEAN.items() if programs.major(server) >= since for word in ("--set", said)]
    argv += ["--no-instructions"] if programs.major(server) >= _NO_INSTRUCTIONS_SINCE else []
    argv += [] if any(word.startswith("--encoding") for word in config.initdb) else ["--encoding=UTF8"]
    return [*argv, *order(service, config, server).words, *config.initdb]


def _zone(service: ComposeService, server: Server) -> list[str]:
    """The flags for the container's time zone (TZ), if the server knows it."""
    zone, share = service.environment.get("TZ", ""), server.bin_dir.parent / "share"
    own = [folder for folder in (share / "timezone", share / "postgresql/timezone") if folder.is_dir()]
    known = _ZONE.fullmatch(zone) and (*own, _SYSTEM_ZONES)[0].joinpath(zone).is_file()
    return ["-c", f"timezone={zone}"] if known else []


def _flags(config: image.PostgresConfig, server: Server) -> list[str]:
    return [word for name, value in usable(config.settings, server) for word in ("-c", f"{name}={value}")]


def usable(settings: Iterable[conffile.Setting], server: Server) -> list[conffile.Setting]:
    """The settings that mean the same here, without libraries that this server lacks: it would not start with them."""
    found = []
    for name, value in settings:
        if name == _PRELOADED:
            there = (library for library in _libraries(value) if programs.has_library(server, library))
            found.append((name, ",".join(there)))
        elif image.is_carried(name, value):
            found.append((name, value))
    return found


def _libraries(value: str) -> list[str]:
    return [library for part in value.split(",") if (library := part.strip(" '\""))]


def notes(service: ComposeService, server: Server) -> tuple[str, ...]:
    """List the differences of this server from the image's: missing features, and the sort order of texts."""
    config = image.config_of(service)
    wanted = [library for name, value in config.carried if name == _PRELOADED for library in _libraries(value)]
    lacking = [library for library in wanted if not programs.has_library(server, library)]
    left_out = [f"service {service.key!r}: this server lacks the library {name} to preload" for name in lacking]
    sorting = order(service, config, server).note
    return (*config.left_out, *left_out, *([sorting] if sorting else []))


def _scram_secret(password: str, rounds: int) -> str:
    """The password as the server stores it, mostly with one hash iteration instead of 4096.

    A password keeps other users of this machine out; thousands of iterations would only add 2-4 ms to every connection
    of a test. Format: https://www.postgresql.org/docs/current/catalog-pg-authid.html
    """
    salt = hashlib.sha256(password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server_key))
    return f"SCRAM-SHA-256${rounds}:{salt64}${stored64}:{server64}"
