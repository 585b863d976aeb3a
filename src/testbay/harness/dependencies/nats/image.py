"""The NATS image: port, login, settings, and whether leases can have accounts."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from testbay.errors import ManifestError
from testbay.harness.dependencies import container
from testbay.harness.dependencies.nats.configuration import Setting, UnreadableError, entries, with_includes
from testbay.manifest.compose.reading import ComposeService

CONTAINER_PORT = 4222
PROGRAMS = ("nats-server",)

# Flags with a value that is a path, a port, an address or a peer of the container; one dash means as much as two.
_CONTAINER_FLAGS = (
    *("c", "config", "sd", "store_dir", "p", "port", "a", "addr", "net", "l", "log", "P", "pid", "ports_file_dir"),
    *("n", "name", "server_name", "m", "http_port", "ms", "https_port", "profile"),
    *("tlscert", "tlskey", "tlscacert"),
)
# A node of a cluster has no JetStream until it finds the others. testbay starts one server, which therefore runs alone.
_PEER_FLAGS = ("cluster", "cluster_listen", "cluster_name", "cluster_advertise", "connect_retries", "routes")
_PEER_KEYS = ("cluster", "gateway")
_TLS_SWITCHES = ("tls", "tlsverify")
_JETSTREAM_FLAGS = ("js", "jetstream")
_CONFIG_FLAGS = ("c", "config")
# Keys of the configuration that say where the container listens and keeps its files: ours take their place.
_PLACES = (
    *("port", "listen", "host", "net", "client_advertise", "server_name", "pid_file", "log_file", "logfile"),
    *("log_size_limit", "ports_file_dir", "store_dir", "prof_port"),
)
# Without a counterpart in the embedded engine: certificates, further listeners.
_CONTAINER_KEYS = (
    *("leafnodes", "leaf", "websocket", "ws", "mqtt", "tls"),
    *("http", "http_port", "https", "https_port", "monitor_port"),
)
_ACCESS_KEYS = ("authorization", "accounts", "no_auth_user", "system_account", "system")
_OPERATOR_KEYS = ("operator", "operators", "resolver", "resolver_preload", "trusted_keys", "trusted")
_INCLUDES = 20
AS_IT_IS = (
    "!$&'()*+,;=@~"  # of a login in an address: only what would end it early is escaped, as nats-py does not unescape
)


class Login(NamedTuple):
    """A client's login: a password without a user is a token."""

    user: str = ""
    password: str = ""


@dataclass(frozen=True, kw_only=True)
class NatsConfig:
    """A service as its image reads it.

    `own_access` is true where the file has users, a token or accounts of its own: then every lease logs in with
    `login` and shares one account. Else each lease has an account of its own. `peers` are what would make it a node of
    a cluster. `notes` hold for both engines, `left_out` for the embedded one.
    """

    login: Login = field(repr=False)
    own_access: bool
    port: int
    flags: tuple[str, ...] = field(repr=False)
    configuration: tuple[Setting, ...] = field(repr=False)
    data: tuple[str, ...]
    peers: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def carried_flags(self) -> list[str]:
        """The flags that mean the same outside of a container."""
        alone = (*_JETSTREAM_FLAGS, *_TLS_SWITCHES)
        return _without(self.flags, (*_CONTAINER_FLAGS, *_PEER_FLAGS, *alone), alone=alone)

    @property
    def container_flags(self) -> list[str]:
        """The container's flags: with JetStream, and without the configuration file that ours replaces."""
        values = {entry.key.lower(): entry.value for entry in self.configuration}
        return [
            *([] if _enables_jetstream(self.flags, values) else ["-js"]),
            *_without(self.flags, (*_CONFIG_FLAGS, *_PEER_FLAGS)),
        ]

    def text(self, *, embedded: bool) -> str:
        """The service's own configuration, for the embedded engine without the parts that only fit the container."""
        dropped = (*_PEER_KEYS, *((*_PLACES, *_CONTAINER_KEYS) if embedded else ()))
        kept = [entry for entry in self.configuration if entry.key.lower() not in dropped]
        return "".join(f"{_of_ours(entry) if embedded else entry.text}\n" for entry in kept)


def _of_ours(entry: Setting) -> str:
    """The entry for the embedded server: the JetStream block loses its folder, which a flag of ours names."""
    if entry.key.lower() != "jetstream" or not isinstance(entry.value, dict):
        return entry.text
    limits = (f"{key}: {value}" for key, value in entry.value.items() if key.lower() not in _PLACES)
    return f"jetstream {{ {', '.join(limits)} }}"


def config_of(service: ComposeService) -> NatsConfig:
    """Read a service as its image does.

    Raises:
        ManifestError: Its configuration cannot be read, or admits no user that testbay knows.
    """
    started = container.started(service, PROGRAMS)
    service = replace(service, configs=(*started.written, *service.configs))
    flags = (*started.words, *_bitnami(service))
    named = _flag(flags, *_CONFIG_FLAGS) or container.default_file(service, _default(service))
    configuration, note = _configuration(service, named) if named else ((), "")
    values = {entry.key.lower(): entry.value for entry in configuration}
    own_access = any(key in values for key in (*_ACCESS_KEYS, *_OPERATOR_KEYS)) or bool(_flag(flags, "user", "auth"))
    left_out = list(_left_out(flags, configuration, named))
    login = _login(service, flags, values) if own_access else Login()
    peers = [] if note else list(_peers(flags, values))
    return NatsConfig(
        login=login,
        own_access=own_access or bool(note),
        port=_port(flags, values),
        flags=flags,
        configuration=configuration,
        data=_data_folders(flags, values),
        peers=tuple(peers),
        notes=(
            *started.notes,
            *([note] if note else []),
            *(_of_login(service, login) if own_access else []),
            *([f"service {service.key!r} runs alone, without {', '.join(peers)}"] if peers else []),
        ),
        left_out=(f"service {service.key!r}: embedded leaves out {' and '.join(left_out)}",) if left_out else (),
    )


def _left_out(flags: Sequence[str], configuration: Sequence[Setting], named: str) -> Iterator[str]:
    """Name what the embedded server cannot have: keys of the file `named` that are the container's, and TLS."""
    if dropped := ", ".join(entry.key for entry in configuration if entry.key.lower() in _CONTAINER_KEYS):
        yield f"{dropped} of {named}"
    if any(word.lstrip("-").startswith("tls") for word in flags):
        yield "its TLS flags"


def _default(service: ComposeService) -> str:
    """The configuration file named in the image's own command."""
    return "/etc/nats/nats-server.conf" if "alpine" in service.tag else "/nats-server.conf"


def _bitnami(service: ComposeService) -> tuple[str, ...]:
    """The login in the variables of bitnami's image, as flags."""
    asked = service.environment.get("NATS_ENABLE_AUTH", "").lower() in ("yes", "true", "1")
    if "bitnami" not in service.based_on or not asked:
        return ()
    if token := container.variable(service, "NATS_TOKEN"):
        return ("--auth", token)
    user, password = (container.variable(service, name) for name in ("NATS_USERNAME", "NATS_PASSWORD"))
    return ("--user", user or "nats", "--pass", password)


def _of_login(service: ComposeService, login: Login) -> Iterator[str]:
    yield (
        f"service {service.key!r} has a login of its own, so the tests share its one account: "
        "they see each other's subjects and streams"
    )
    if any(quote(word, safe=f"{AS_IT_IS}:") != word for word in login):
        yield (
            f"service {service.key!r}: NATS_URL has a part of its login as %xx, which nats-py takes literally, so that "
            "it is refused: give it `user` and `password`, or `token`"
        )


def _configuration(service: ComposeService, named: str) -> tuple[tuple[Setting, ...], str]:
    path = PurePosixPath("/", named)
    said = container.text(service, str(path))
    if said is None:
        return (), f"service {service.key!r}: testbay cannot read {named}, which the image itself holds"
    try:
        return tuple(entries(_whole(service, path, said, depth=0))), ""
    except UnreadableError as error:
        raise ManifestError(
            f"service {service.key!r}: {named} is not a NATS configuration: {error}", todo="correct the file"
        ) from None


def _whole(service: ComposeService, path: PurePosixPath, text: str, *, depth: int) -> str:
    """The text with the files that it includes."""

    def read(name: str) -> str:
        inner = PurePosixPath(posixpath.normpath(path.parent / name))
        if depth > _INCLUDES:
            raise UnreadableError(f"it includes {name}, more than {_INCLUDES} files deep")
        said = container.text(service, str(inner))
        if said is None:
            raise UnreadableError(f"it includes {name}, which is not mounted")
        return _whole(service, inner, said, depth=depth + 1)

    return with_includes(text, read)


def _login(service: ComposeService, flags: Sequence[str], values: Mapping[str, Any]) -> Login:
    if any(key in values for key in _OPERATOR_KEYS):
        raise ManifestError(
            f"service {service.key!r}: its NATS configuration admits only signed credentials (operator mode)",
            why="testbay has no key to sign with",
            todo="give the tests a configuration with users, or without any",
        )
    if user := _flag(flags, "user"):
        return Login(user, _flag(flags, "pass"))
    if token := _flag(flags, "auth"):
        return Login("", token)
    if "no_auth_user" in values:
        return Login()
    found = [_resolved(login, service, values) for login in _logins(values)]
    login = next((login for login in found if login.password and not login.password.startswith("$2")), None)
    if login is None and found:
        raise ManifestError(
            f"service {service.key!r}: its NATS configuration has no user with a plain-text password",
            why="testbay cannot log in with a bcrypt hash or a public key",
            todo="give the tests a configuration with a plain password, or without users",
        )
    return login or Login()


def _logins(values: Mapping[str, Any]) -> Iterator[Login]:
    """List the logins: first of the authorization block, then of accounts with JetStream, then of the others."""
    yield from _of_block(values.get("authorization"))
    accounts = values.get("accounts")
    blocks = {name: block for name, block in accounts.items() if isinstance(block, dict)} if accounts else {}
    system = str(values.get("system_account") or values.get("system") or "$SYS")
    ordered = sorted((name for name in blocks if name != system), key=lambda name: "jetstream" not in blocks[name])
    for name in ordered:
        yield from _of_block(blocks[name])


def _of_block(block: object) -> Iterator[Login]:
    if not isinstance(block, dict):
        return
    if token := block.get("token"):
        yield Login("", str(token))
    users = block.get("users")
    named = [user for user in (users if isinstance(users, list) else ()) if isinstance(user, dict)]
    for user in (block, *sorted(named, key=lambda user: _is_limited(user, block))):
        if "user" in user or "username" in user or "nkey" in user:
            name = str(user.get("user") or user.get("username") or "")
            yield Login(name, str(user.get("password") or user.get("pass") or ""))


def _is_limited(user: dict[str, Any], block: dict[str, Any]) -> bool:
    """Return whether a user may not publish everything, as the fixtures do to JetStream."""
    allowed = user.get("permissions") or user.get("permission") or block.get("default_permissions")
    publish = allowed.get("publish") or allowed.get("pub") if isinstance(allowed, dict) else allowed
    publish = publish.get("allow") if isinstance(publish, dict) else publish
    return bool(allowed) and publish != ">" and not (isinstance(publish, list) and ">" in publish)


def _resolved(login: Login, service: ComposeService, values: Mapping[str, Any]) -> Login:
    """Resolve `$NAME`: another key of the configuration, or a variable of the container."""

    def value(text: str) -> str:
        if not re.fullmatch(r"\$[A-Za-z_]\w*", text):
            return text
        said = values.get(text[1:].lower()) or service.environment.get(text[1:])
        if said is None:
            raise ManifestError(
                f"service {service.key!r}: its NATS configuration names {text}, which has no value",
                why="neither the configuration nor the service's environment sets it, and nats-server refuses that",
                todo=f"set {text[1:]} in the service's environment",
            )
        return str(said)

    return Login(value(login.user), value(login.password))


def _peers(flags: Sequence[str], values: Mapping[str, Any]) -> Iterator[str]:
    """Name the flags and keys that make a server a node of a cluster."""
    flagged = (word.partition("=")[0] for word in flags if word.startswith("-"))
    yield from (flag for flag in flagged if flag.lstrip("-") in _PEER_FLAGS)
    yield from (key for key in values if key in _PEER_KEYS)


def _port(flags: Sequence[str], values: Mapping[str, Any]) -> int:
    said = _flag(flags, "p", "port") or str(values.get("port") or "") or str(values.get("listen") or "")
    said = said.rpartition(":")[2]
    return container.port(said) or CONTAINER_PORT


def _data_folders(flags: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    jetstream = values.get("jetstream")
    said = jetstream.get("store_dir") if isinstance(jetstream, dict) else None
    folder = _flag(flags, "sd", "store_dir") or str(said or values.get("store_dir") or "")
    return (folder,) if folder.startswith("/") else ()


def _enables_jetstream(flags: Sequence[str], values: Mapping[str, Any]) -> bool:
    return "jetstream" in values or any(word.lstrip("-").partition("=")[0] in _JETSTREAM_FLAGS for word in flags)


def _flag(words: Sequence[str], *names: str) -> str:
    """The value of `--flag value` or `--flag=value`."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        name, assigned, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in names:
            return value if assigned else following
    return ""


def _without(words: Sequence[str], names: Sequence[str], alone: Sequence[str] = ()) -> list[str]:
    """Drop these flags and their values from the words; flags in `alone` take no value."""
    kept: list[str] = []
    skip_value = False
    for word in words:
        name, assigned, _ = word.lstrip("-").partition("=")
        if skip_value:
            skip_value = False
        elif word.startswith("-") and name in names:
            skip_value = not assigned and name not in alone
        else:
            kept.append(word)
    return kept
