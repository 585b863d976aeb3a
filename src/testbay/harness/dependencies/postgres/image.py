"""The PostgreSQL image's entrypoint: credentials, settings, scripts and sort order of a compose service."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from testbay.errors import ManifestError
from testbay.harness.dependencies import container
from testbay.harness.dependencies.postgres import conffile, logins
from testbay.manifest.compose.reading import ComposeService

INIT_FOLDER = "/docker-entrypoint-initdb.d"
PROGRAMS = ("postgres",)
CONTAINER_PORT = 5432

_SCRIPT_ENDINGS = (".sql", ".sql.gz", ".sql.xz", ".sql.zst", ".sh")
# Postgres' own short flags that set a parameter: https://www.postgresql.org/docs/current/app-postgres.html
_SHORT = {"-N": "max_connections", "-B": "shared_buffers", "-S": "work_mem", "-p": "port", "-h": "listen_addresses"}
_SHORT |= {"-D": "data_directory", "-k": "unix_socket_directories"}
_ALONE = {
    "-e": ("datestyle", "euro"),
    "-F": ("fsync", "off"),
    "-i": ("listen_addresses", "*"),
    "-l": ("ssl", "on"),
    "-s": ("log_statement_stats", "on"),
}
# Paths, ports and addresses of the container, and settings that the embedded engine makes itself.
_CONTAINER_ONLY = re.compile(
    r"data_directory|config_file|hba_file|ident_file|external_pid_file|listen_addresses|port|unix_socket_\w+|ssl\w*"
    r"|log_directory|log_filename|logging_collector|archive_\w+|restore_command|include\w*|krb_\w+|bonjour\w*|cluster_name"
)
_C_LOCALES = ("c", "posix", "c.utf8", "c.utf-8", "ucs_basic")


@dataclass(frozen=True, kw_only=True)
class Script:
    """One script of the init folder: a file of this machine, or a content in the compose file."""

    name: str
    source: Path | str = field(repr=False)

    def read(self) -> bytes:
        return self.source.encode() if isinstance(self.source, str) else self.source.read_bytes()


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    """A service as the image's entrypoint understands it.

    `settings` are those of `-c` and of a mounted file, in order. `further` are databases that the image creates beside
    `db`; `locale` is the image's sort order; `initdb` are further arguments of initdb, without a locale. `notes` are
    for both engines, `left_out` for the embedded one.
    """

    user: str
    password: str = field(repr=False)
    db: str
    further: tuple[str, ...]
    auth: str
    port: int
    unreachable: str
    locale: str
    icu: bool
    initdb: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    scripts: tuple[Script, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def carried(self) -> list[tuple[str, str]]:
        """The settings that mean the same outside of a container."""
        return [(name, value) for name, value in self.settings if is_carried(name, value)]


def config_of(service: ComposeService) -> PostgresConfig:
    """Read a service as its image does.

    Raises:
        ManifestError: The image would refuse to start.
    """
    started = container.started(service, PROGRAMS)
    flagged = list(_flag_settings(started.words))
    from_file, notes = conffile.settings(service, dict(flagged).get("config_file", ""))
    asked, initdb, written = _initdb_words(service)
    settings = (*_flag_settings(written), *from_file, *flagged)
    login = logins.login(service)
    locale, icu = _locale(service, asked)
    scripts, passed_over = _scripts(service)
    dropped = [
        (name, value) for name, value in settings if not is_carried(name, value) and (name, value) != ("ssl", "off")
    ]
    container_s = [f"{name} = {value}" for name, value in dropped if _worth_saying(name)]
    left_out = f"service {service.key!r}: embedded leaves out the container's own settings {', '.join(container_s)}"
    return PostgresConfig(
        user=login.user,
        password=login.password,
        db=login.db,
        further=login.further,
        auth=login.auth,
        port=_port(service, settings) or container.published_port(service, started) or CONTAINER_PORT,
        unreachable=_unreachable(dict(settings)),
        locale=locale,
        icu=icu,
        initdb=tuple(initdb),
        settings=settings,
        scripts=scripts,
        notes=(*started.notes, *notes, *passed_over),
        left_out=(left_out,) if container_s else (),
    )


def _port(service: ComposeService, settings: Sequence[tuple[str, str]]) -> int:
    """The port: from the last setting, else from bitnami's variable or PGPORT; else 0."""
    said = service.environment.get("POSTGRESQL_PORT_NUMBER") or service.environment.get("PGPORT", "")
    said = next((value for name, value in reversed(settings) if name == "port"), said)
    return container.port(said)


def _unreachable(said: Mapping[str, str]) -> str:
    hosts = said.get("listen_addresses", "*")
    return (
        f"listen_addresses = '{hosts}', which is its own container" if container.is_loopback(hosts.split(",")) else ""
    )


def _flag_settings(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`-c name=value`, `-cname=value`, `--name=value` and the short flags that set a parameter."""
    rest = iter(words)
    for word in rest:
        flag = word[:2]
        if word in _ALONE:
            yield _ALONE[word]
        elif flag == "--":
            yield from _assigned(word[2:])
        elif flag in ("-c", "-d", *_SHORT) and (value := word[2:] or next(rest, "")):
            if flag == "-c":
                yield from _assigned(value)
            elif flag == "-d":
                yield "log_min_messages", "notice" if value == "0" else f"debug{value}"
            else:
                yield _SHORT[flag], value


def _assigned(text: str) -> Iterator[tuple[str, str]]:
    """Yield the setting of `name=value`; nothing where no value is assigned."""
    name, assigned, value = text.partition("=")
    if assigned:
        yield name.strip().replace("-", "_").lower(), value


def is_carried(name: str, value: str) -> bool:
    """Return whether a setting means the same outside of a container."""
    return bool(name) and not _CONTAINER_ONLY.fullmatch(name) and not value.startswith("/")


def _worth_saying(name: str) -> bool:
    """Return whether a setting affects tests: where the container keeps its files does not."""
    return name.startswith(("ssl", "hba_file", "restore_command")) or not _CONTAINER_ONLY.fullmatch(name)


def _scripts(service: ComposeService) -> tuple[tuple[Script, ...], tuple[str, ...]]:
    """The scripts that the image runs once, in its order; it ignores all other files of the folder.

    Raises:
        ManifestError: A folder is mounted in the place of a script.
    """
    for volume in (*service.built.copied, *service.volumes):
        at = PurePosixPath(volume.target)
        is_script = str(at.parent) == INIT_FOLDER and at.name.endswith(_SCRIPT_ENDINGS)
        if is_script and volume.type == "bind" and Path(volume.source).is_dir():
            raise ManifestError(
                f"service {service.key!r}: {volume.source} is a folder, and {at} a script",
                why="the image's psql cannot read a folder, and the container ends",
                todo=f"mount the folder at {INIT_FOLDER}, or one of its files at {at.name} there",
            )
    entries = container.entries(service, INIT_FOLDER)
    by_code_point = "alpine" in service.tag
    found = {name: entries[name] for name in sorted(entries, key=None if by_code_point else _as_english)}
    shown = {name: source for name, source in found.items() if not name.startswith(".")}  # by the image's `*`
    run = tuple(Script(name=name, source=source) for name, source in shown.items() if name.endswith(_SCRIPT_ENDINGS))
    unmounted = [
        volume.target
        for volume in service.volumes
        if volume.target.startswith(INIT_FOLDER) and not (volume.type == "bind" and Path(volume.source).exists())
    ]
    notes = [
        f"service {service.key!r}: nothing is mounted at {target}: its source is not there" for target in unmounted
    ]
    return run, tuple(notes)


# How glibc's en_US, in which Debian's images list a folder, orders what stands in file names before digits and letters.
_PUNCTUATION = "_-,;:!?/.`^~'\"()[]{}@$*\\&#%+<=>|"


def _as_english(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """The sort key of en_US: punctuation, digits, letters regardless of case; in a tie the lower case first."""
    keys = [
        (0, _PUNCTUATION.index(char), "") if char in _PUNCTUATION else (1 + char.isalpha(), 0, char.casefold())
        for char in name
    ]
    return keys, name.swapcase()


def _locale(service: ComposeService, asked: Mapping[str, str]) -> tuple[str, bool]:
    """The locale of the image's sort order, and whether it is one of ICU."""
    variables = service.environment
    image = "C.UTF-8" if _sorts_by_code_point(service) else "en_US.utf8"
    locale = variables.get("LC_ALL") or variables.get("LC_COLLATE") or variables.get("LANG") or image
    if "no-locale" in asked:
        locale = "C"
    locale = asked.get("lc-collate") or asked.get("locale") or locale
    icu = asked.get("locale-provider") == "icu"
    if icu:
        locale = asked.get("icu-locale") or locale
    elif asked.get("locale-provider") == "builtin":
        locale = "C.UTF-8"
    return locale, icu


_LOCALE_FLAGS = (
    *("locale", "lc-collate", "lc-ctype", "locale-provider", "icu-locale", "builtin-locale", "no-locale"),
    *("lc-messages", "lc-monetary", "lc-numeric", "lc-time", "icu-rules"),
)
_NOT_OURS = (
    *("pgdata", "waldir", "username", "pwfile", "pwprompt", "auth", "auth-host", "auth-local", "wal-segsize"),
    *("nosync", "no-sync", "sync-only", "text-search-config"),
)
_TWO_WORDS = {
    "-A": "auth",
    "-D": "pgdata",
    "-U": "username",
    "-X": "waldir",
    "-E": "encoding",
    "-T": "text-search-config",
    "-c": "set",
}


def _initdb_words(service: ComposeService) -> tuple[dict[str, str], list[str], list[str]]:
    """Split POSTGRES_INITDB_ARGS into locale arguments, further arguments of initdb, and server settings."""
    given = service.environment.get("POSTGRES_INITDB_ARGS") or service.environment.get("POSTGRESQL_INITDB_ARGS", "")
    try:
        rest = shlex.split(given)
    except ValueError as error:
        raise ManifestError(
            f"service {service.key!r}: POSTGRES_INITDB_ARGS: {error}", todo="close the quotation"
        ) from None
    asked: dict[str, str] = {}
    others: list[str] = []
    settings: list[str] = []
    while rest:
        word = rest.pop(0)
        name, assigned, value = word.lstrip("-").partition("=")
        if word[:2] in _TWO_WORDS and not word.startswith("--"):
            name, value = _TWO_WORDS[word[:2]], word[2:] or (rest.pop(0) if rest else "")
        elif not assigned and rest and not rest[0].startswith("-") and word.startswith("--"):
            value = rest.pop(0)
        if name in _LOCALE_FLAGS:
            asked[name] = value
        elif name == "set":  # initdb would write it to postgresql.conf, from 16 on
            settings += ["-c", value]
        elif name not in _NOT_OURS:
            others.append(f"--{name}={value}" if value else word)
    return asked, others, settings


def _sorts_by_code_point(service: ComposeService) -> bool:
    """Return whether the image sorts by code point, as all on Alpine do, and TimescaleDB's HA image."""
    alpine = "alpine" in service.tag or (service.repository == "timescaledb" and "ubuntu" not in service.tag)
    return alpine or service.repository == "timescaledb-ha"


def is_code_point(locale: str) -> bool:
    """Return whether this locale sorts by code point."""
    return locale.lower() in _C_LOCALES
