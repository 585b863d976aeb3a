"""The images of Redis, Valkey, KeyDB and Dragonfly: password, port and settings of a compose service."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from testbay.errors import ManifestError
from testbay.harness.dependencies import container
from testbay.manifest.compose.reading import ComposeService

CONTAINER_PORT = 6379
PROGRAMS = ("dragonfly", "redis-server", "valkey-server", "keydb-server", "redis-stack-server", "redis-stack")

Setting = tuple[str, tuple[str, ...]]

# Set by us, or a path, a port or a file of the container.
_OURS = (
    *("port", "bind", "dir", "dbfilename", "requirepass", "save", "appendonly", "admin_port", "admin_nopass"),
    *("logtostderr", "alsologtostderr", "logfile", "log_dir", "daemonize", "pidfile", "protected-mode", "supervised"),
    *("unixsocket", "unixsocketperm", "appendfilename", "appenddirname", "appendfsync", "snapshot_cron"),
    *("include", "loadmodule", "aclfile", "masterauth", "masteruser", "replicaof", "slaveof", "rename-command"),
)
_LOGINS = ("aclfile", "user", "include")
# Of KeyDB, and of the modules that are part of Redis 8: Valkey and older servers refuse a file that has them.
_EXTENSIONS = (
    *("server-threads", "server-thread-affinity", "min-clients-per-thread", "active-replica", "multi-master"),
    *("active-client-balancing", "scratch-file-path", "storage-provider", "db-s3-object", "enable-async-commands"),
)
_MODULES = ("search-", "ts-", "bf-", "cf-", "vset-")
_IN_REDIS = {"dbnum": "databases"}  # Dragonfly's names of what Redis has too
_REDIS_SIZE = re.compile(r"[0-9]+(b|[kmg]b?)?", re.IGNORECASE)
_OFFICIAL = {"redis": "redis-server", "library/redis": "redis-server", "valkey/valkey": "valkey-server"}
# The files that an image reads by itself: its own command names the first kind, bitnami's adds the second to the rest.
_DEFAULTS = (
    *("/etc/keydb/keydb.conf", "/redis-stack.conf"),
    *(f"/opt/bitnami/{kind}/mounted-etc/{kind}.conf" for kind in ("redis", "valkey")),
)
_OVERRIDES = tuple(f"/opt/bitnami/{kind}/mounted-etc/overrides.conf" for kind in ("redis", "valkey"))
_LONGEST_LINE = 4096  # of a redis.conf, as far as its quotes are read
# A word of a redis.conf: parts in either kind of quotes, and bare ones, in which a backslash stands for itself.
_PART = re.compile(r"""\"((?:\\.|[^"\\])*+)\"|'((?:\\'|[^'])*+)'|([^\s"']++)""")
_LINE = re.compile(rf"(?:\s*+(?:{_PART.pattern})++)*+\s*")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))")  # of a byte: "\xc3\xa9" is one letter
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_ENVIRONMENT_FLAGS = ("REDIS_ARGS", "REDIS_EXTRA_FLAGS", "VALKEY_EXTRA_FLAGS")
_READ_BY_OFFICIAL = {"redis-server": "REDIS_ARGS", "valkey-server": "VALKEY_EXTRA_FLAGS"}
# Those of them that a test can notice.
_WORTH_SAYING = (
    *("include", "loadmodule", "aclfile", "replicaof", "slaveof", "rename-command", "tls-port", "unixsocket"),
)


@dataclass(frozen=True, kw_only=True)
class DragonflyConfig:
    """A service as its image reads it. `notes` are for both engines, `left_out` for the embedded one."""

    user: str
    password: str = field(repr=False)
    port: int
    unreachable: str
    settings: tuple[Setting, ...] = field(repr=False)
    data: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def carried(self) -> tuple[Setting, ...]:
        """The settings that mean the same outside of a container."""
        return tuple(setting for setting in self.settings if _is_carried(*setting))

    def understood(self, *, image_is_dragonfly: bool, server_is_dragonfly: bool) -> tuple[list[Setting], list[str]]:
        """Translate the carried settings for a server; return them and the names it does not know."""
        if image_is_dragonfly == server_is_dragonfly:  # Redis and Valkey read the same settings
            names = {name: name for name, _ in self.carried if not (name in _EXTENSIONS or name.startswith(_MODULES))}
        else:
            names = {redis: own for own, redis in _IN_REDIS.items()} if server_is_dragonfly else dict(_IN_REDIS)
            if not server_is_dragonfly and _REDIS_SIZE.fullmatch("".join(dict(self.carried).get("maxmemory", ()))):
                names["maxmemory"] = "maxmemory"  # not the other way: Dragonfly needs 256 MiB for each thread
        known = [(names[name], values) for name, values in self.carried if name in names]
        return known, list(dict.fromkeys(name for name, _ in self.carried if name not in names))


def config_of(service: ComposeService) -> DragonflyConfig:
    """Read a service as its image does.

    Raises:
        ManifestError: A file it names cannot be read.
    """
    started = container.started(service, PROGRAMS)
    service = replace(service, configs=(*started.written, *service.configs))
    words = [*started.words, *_environment_flags(service)]
    in_file, notes = _file_settings(service, words)
    in_file += [setting for name in _OVERRIDES for setting in _parsed(container.text(service, name) or "")]
    settings = tuple(_with_users(service, (*in_file, *_flag_settings(words))))
    user, password = _login(service, settings)
    left_out = [f"{name} {' '.join(values)}"[:60].rstrip() for name, values in settings if name in _WORTH_SAYING]
    said = f"service {service.key!r}: embedded leaves out {', '.join(left_out)}"
    unread = [name for name in _flag_variables(service) if not _reads(service, name)]
    notes += [f"service {service.key!r}: its image {service.based_on} does not read {name}" for name in unread]
    return DragonflyConfig(
        user=user,
        password=password,
        port=_port(service, settings) or container.published_port(service, started) or CONTAINER_PORT,
        unreachable=_unreachable(dict(settings)),
        settings=tuple(setting for setting in settings if setting[0] != "requirepass"),
        data=_data_folders(service, settings),
        notes=(*started.notes, *notes),
        left_out=(said,) if left_out else (),
    )


def configuration(settings: Sequence[Setting], password: str) -> str:
    """The text of a redis.conf with these settings."""
    lines = [*settings, *([("requirepass", (password,))] if password else [])]
    return "".join(f"{name} {' '.join(map(_quoted, values))}\n" for name, values in lines)


def official_flags(service: ComposeService) -> Sequence[str] | None:
    """The server flags of an official image; None if the compose file changes how it starts or who may log in."""
    name = _name_of(service)
    program, *flags = service.command or ("",)
    if program.startswith("-"):
        program, flags = "", list(service.command)
    own = name in _OFFICIAL and service.entrypoint is None and program in ("", _OFFICIAL[name])
    plain = not flags or flags[0].startswith("--")  # the name of a file would stand in the place of ours
    guarded = any(setting in _LOGINS for setting, _ in _flag_settings(flags))
    return flags if own and plain and not guarded else None


def _quoted(word: str) -> str:
    """Quote a word as redis.conf does, where a line feed or a quotation mark is written with a backslash."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _environment_flags(service: ComposeService) -> list[str]:
    """List the flags that an image takes from variables and adds to the command line."""
    said = " ".join(value for name, value in _flag_variables(service).items() if _reads(service, name))
    try:
        return shlex.split(said)
    except ValueError:
        return said.split()


def _flag_variables(service: ComposeService) -> dict[str, str]:
    return {name: service.environment[name] for name in _ENVIRONMENT_FLAGS if service.environment.get(name)}


def _reads(service: ComposeService, name: str) -> bool:
    """Return whether the image reads a variable of flags: of the official ones Redis' from version 8, and Valkey's.

    Dragonfly's image reads none of them, and bitnami's only their own.
    """
    if service.repository == "dragonfly" or ("bitnami" in service.based_on and name == "REDIS_ARGS"):
        return False
    official = _OFFICIAL.get(_name_of(service))
    is_old = official == "redis-server" and re.match(r"[1-7]\b", service.tag) is not None
    return not official or (name == _READ_BY_OFFICIAL[official] and not is_old)


def _name_of(service: ComposeService) -> str:
    return service.based_on.partition("@")[0].removeprefix("docker.io/").partition(":")[0]


def _flag_settings(words: Sequence[str]) -> Iterator[Setting]:
    """`--name value …`, also as one word with blanks, and `--name=value`, whose value may have blanks."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            flag = word.removeprefix("--")
            groups.append([flag] if re.match(r"[\w-]+=", flag) else _words(flag))
        elif groups:
            groups[-1].append(word)
    for name, *values in groups:
        key, assigned, value = name.partition("=")
        yield (key, (value, *values)) if assigned else (key, tuple(values))


def _file_settings(service: ComposeService, words: Sequence[str]) -> tuple[list[Setting], list[str]]:
    """Read the settings of the mounted redis.conf that the command names first; also return notes."""
    named = words[0] if words and not words[0].startswith("-") else container.default_file(service, *_DEFAULTS)
    if not named:
        return [], []
    said = container.text(service, named if named.startswith("/") else f"/data/{named}")
    if said is None:
        return [], [f"service {service.key!r}: testbay cannot read {named}, which the image itself holds"]
    return list(_parsed(said)), []


def _with_users(service: ComposeService, settings: Sequence[Setting]) -> list[Setting]:
    """The settings, with the users of a mounted `aclfile` in its place.

    Beside such a file Redis ignores `requirepass`, and lets in everyone as `default` if the file does not name it.
    """
    found: list[Setting] = []
    has_file = False
    for name, values in settings:
        said = container.text(service, values[0]) if name == "aclfile" and values else None
        has_file = has_file or (said is not None and service.repository != "dragonfly")
        found += [(name, values)] if said is None else [one for one in _parsed(said) if one[0] == "user"]
    if not has_file:
        return found
    users = [one for one in found if one[0] != "requirepass"]
    is_named = any(name == "user" and values[:1] == ("default",) for name, values in users)
    return users if is_named else [("user", ("default", "on", "nopass", "~*", "&*", "+@all")), *users]


def _parsed(text: str) -> Iterator[Setting]:
    """The settings of a redis.conf."""
    for line in text.splitlines():
        name, *values = _words(line)
        if name:
            yield name.lower(), tuple(values)


def _words(line: str) -> list[str]:
    """The words of a configuration line, with quotes resolved as far as they are well-formed."""
    if line.lstrip().startswith("#"):
        return [""]
    if len(line) > _LONGEST_LINE or not _LINE.fullmatch(line):
        return line.split() or [""]
    words = re.finditer(rf"(?:{_PART.pattern})++", line)
    return [_PART.sub(_plain, word[0]) for word in words] or [""]


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 16)]) if escape[1] else _ESCAPED.get(escape[2], escape[2])


def _plain(part: re.Match[str]) -> str:
    double, single, bare = part.groups()
    if double is not None:
        return _ESCAPE.sub(_byte, double.encode(errors="surrogateescape")).decode(errors="replace")
    return bare if single is None else single.replace("\\'", "'")


def _login(service: ComposeService, settings: Sequence[Setting]) -> tuple[str, str]:
    """User and password: from the settings, else from variables.

    A named user counts only if `default` is off: the one that may do most, as testbay empties the server.

    Raises:
        ManifestError: No user has a password that testbay knows.
    """
    password = next((values[0] for name, values in reversed(settings) if name == "requirepass" and values), "")
    password = password or container.variable(service, "DFLY_requirepass", "DFLY_PASSWORD", *_variables_of(service))
    users = {values[0]: values[1:] for name, values in settings if name == "user" and values}
    default = users.pop("default", ())
    if "off" in default:
        named = [(who, rules) for who, rules in users.items() if _secret(rules) or "nopass" in rules]
        if not named and users:
            raise _without_password(service)
        who, rules = max(named, key=lambda one: _breadth(one[1]), default=("", ()))
        return (who, _secret(rules) or "nopass") if who else ("", password)  # of such a user any password is right
    password = _secret(default) or password
    if not password and any(rule.startswith("#") for rule in default) and "nopass" not in default:
        raise _without_password(service)
    return "", password or ("" if _is_open_by_choice(service, settings) else service.stack_password)


def _without_password(service: ComposeService) -> ManifestError:
    return ManifestError(
        f"service {service.key!r}: its users have no password in plain text",
        why="testbay cannot log in with a hash (#…) of one",
        todo="give the tests a file with a user that has a plain password (>…), or without users",
    )


def _is_open_by_choice(service: ComposeService, settings: Sequence[Setting]) -> bool:
    """Return whether the compose file explicitly asks for no password."""
    said = any(name == "requirepass" or (name == "user" and values[:1] == ("default",)) for name, values in settings)
    return said or service.environment.get("ALLOW_EMPTY_PASSWORD", "").lower() in ("yes", "true", "1")


def _secret(rules: Sequence[str]) -> str:
    return next((rule[1:] for rule in rules if rule.startswith(">")), "")


def _breadth(rules: Sequence[str]) -> tuple[int, int]:
    """Compare users: by whether they may use all commands and all keys, then by how little is taken back."""
    whole = {"~*", "allkeys"} & set(rules), {"+@all", "allcommands"} & set(rules)
    return sum(map(bool, whole)), -sum(rule.startswith("-") for rule in rules)


def _variables_of(service: ComposeService) -> tuple[str, ...]:
    """Return the environment variables that the image reads: only Bitnami's and sameersbn's read any."""
    if "sameersbn" in service.based_on:
        return ("REDIS_PASSWORD",)
    return ("REDIS_PASSWORD", "VALKEY_PASSWORD", "KEYDB_PASSWORD") if "bitnami" in service.based_on else ()


def _port(service: ComposeService, settings: Sequence[Setting]) -> int:
    said = next((values[0] for name, values in reversed(settings) if name == "port" and values), "")
    names = ("DFLY_port", *(("REDIS_PORT_NUMBER", "VALKEY_PORT_NUMBER") if "bitnami" in service.based_on else ()))
    said = said or next(filter(None, (service.environment.get(name) for name in names)), "")
    return container.port(said)


def _unreachable(said: Mapping[str, Sequence[str]]) -> str:
    if [*said.get("port", ())] == ["0"]:
        return (
            "port 0, which leaves TLS alone" if "tls-port" in said else "port 0, which leaves a socket of its container"
        )
    hosts = said.get("bind")
    return f"bind {' '.join(hosts)}, which is its own container" if hosts and container.is_loopback(hosts) else ""


def _data_folders(service: ComposeService, settings: Sequence[Setting]) -> tuple[str, ...]:
    said = [values[0] for name, values in settings if name == "dir" and values and values[0].startswith("/")]
    return ("/bitnami" if "bitnami" in service.based_on else "/data", *said)


def _is_carried(name: str, values: tuple[str, ...]) -> bool:
    ours = name in _OURS or name.startswith(("tls", "cluster", "sentinel"))
    return not ours and not any(value.startswith("/") for value in values)
