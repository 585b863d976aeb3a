"""The server behind a compose service, recognised by its image's full name and by its command."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from testbay.manifest.compose.finding import read_file
from testbay.manifest.compose.reading import ComposeService

POSTGRES, DRAGONFLY, NATS = "postgres", "dragonfly", "nats"
TITLES = {POSTGRES: "PostgreSQL", DRAGONFLY: "Redis (or Valkey, Dragonfly)", NATS: "NATS"}
# An image is a server when every part of its name says so: one word of the first column, the others of these.
_SERVERS = {
    POSTGRES: "postgres postgresql postgis pgvector timescaledb timescale citus paradedb pgroonga pgvectors pgvecto"
    " vchord vectorchord pgautoupgrade",
    DRAGONFLY: "redis valkey keydb dragonfly dragonflydb redict redismod rejson redisjson redisearch redistimeseries"
    " rebloom redisbloom redisgraph",
    NATS: "nats",
}
_WITH_IT = {
    POSTGRES: "ha oss rs suite repmgr extended extensions contrib gis percona distribution crunchy ssl pg ml vector"
    " pgrouting pgcron cron partman pgpartman postgresml",
    DRAGONFLY: "stack server bundle extensions standin oss ssl",
    NATS: "server js jetstream standin",
}
_ANYWHERE = (
    "alpine debian ubuntu bookworm bullseye trixie buster centos7 centos8 c8s c9s c10s rhel7 rhel8 rhel9 slim fips"
    " arm arm64 arm64v8 amd64 db database dev test ci"
)
_WHOLE = {
    "apache/age": POSTGRES,
    "pgduckdb/pgduckdb": POSTGRES,
    "falkordb/falkordb-server": DRAGONFLY,
    "falkordb/falkordb": DRAGONFLY,
}
_PARTS = {
    room: (set(names.split()), set(names.split()) | set(_WITH_IT[room].split()) | set(_ANYWHERE.split()))
    for room, names in _SERVERS.items()
}
_STARTS_SERVER = {
    *("postgres", "postmaster", "pg_ctl", "pg_ctlcluster", "patroni", "docker-entrypoint.sh", "entrypoint.sh"),
    *("run-postgresql", "run.sh", "docker-ensure-initdb.sh", "redis-server", "valkey-server", "keydb-server"),
    *("dragonfly", "redis-stack-server", "redis-stack", "nats-server"),
}
_STARTS_OTHER = {
    *("psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_isready", "createdb", "dropdb", "createuser"),
    *("vacuumdb", "reindexdb", "pgbench", "pg_receivewal", "redis-cli", "valkey-cli", "keydb-cli", "redis-sentinel"),
    *("valkey-sentinel", "redis-benchmark", "valkey-benchmark", "nats", "nsc", "nk", "cron", "crond", "supercronic"),
    *("sleep", "tail", "cat", "echo", "true", "false", "curl", "wget"),
}
_OF_A_JOB = re.compile(r"(^|[-_.])(backups?|restore|dump|migrat\w*|seed\w*|init|job|wait\w*|create\w*|setup)([-_.]|$)")
_OF_A_REPLICA = re.compile(r"(?im)^[ \t]*(?:(?:replicaof|slaveof)[ \t]+(?!no\b)|cluster-enabled[ \t]+yes\b)")
_DATA = re.compile(r"(/var/lib/(postgresql|pgsql)|/bitnami/postgresql)(/|$)")
_SHORT = len("sha256:1234567")  # of a digest, in messages
_SHELLS = {"sh", "bash", "ash", "dash"}
_BEFORE_A_PROGRAM = {"exec", "nohup", "if", "then", "else", "while", "until", "do", "!", "env", "command", "time", "{"}
_WITH_A_USER = {"gosu", "su-exec", "setpriv", "sudo", "timeout"}


def room_of_image(image: str) -> str:
    """The server an image is by its whole name: `postgres`, `dragonfly`, `nats`; empty when it is another thing.

    `bitnami/postgresql:15` and `timescale/timescaledb-ha` are servers, `postgres-exporter` and `redis-commander` not.
    """
    path = image.partition("@")[0].lower()
    name = path.rpartition("/")[2].partition(":")[0]
    for whole, room in _WHOLE.items():
        if path.partition(":")[0].endswith(whole):
            return room
    parts = [part for part in re.split(r"[-_.]", name) if part]
    for room, (servers, allowed) in _PARTS.items():
        if any(part in servers or _numbered(part) in servers for part in parts):
            known = all(part in allowed or _numbered(part) in allowed or re.fullmatch(r"v?\d+", part) for part in parts)
            return room if known else ""
    return ""


def version_tag(service: ComposeService) -> str:
    """The tag if it is the server's version; empty for an image of a team's own."""
    return service.tag if room_of_image(service.based_on) else ""


def version_unknown(service: ComposeService) -> str:
    """The image, if its name does not tell the server's version: a team's own, or one by its digest alone."""
    name, _, digest = service.based_on.partition("@")
    if not room_of_image(service.based_on):
        return name
    return f"{name}@{digest[:_SHORT]}" if digest and not service.tag else ""


def _numbered(part: str) -> str:
    """`postgres16` is `postgres`."""
    return part.rstrip("0123456789")


def room_of(service: ComposeService) -> str:
    """The server that a service runs; empty for anything else, such as a tool in the server's image."""
    room = room_of_image(service.based_on) or (POSTGRES if _holds_databases(service) else "")
    return room if room and starts_server(service) else ""


def _holds_databases(service: ComposeService) -> bool:
    """Return whether an image named after PostgreSQL writes its data folder: `zulip/zulip-postgresql`, not a tool."""
    name = service.repository.lower()
    named = any(_numbered(part) in _PARTS[POSTGRES][0] for part in re.split(r"[-_.]", name))
    held = (volume for volume in service.volumes if not volume.read_only)
    return named and not _OF_A_JOB.search(name) and any(_DATA.match(volume.target) for volume in held)


def starts_server(service: ComposeService) -> bool:
    """Return whether a container of a server's image starts the server, not a client, a sentinel or a job."""
    words = (*(service.entrypoint or ()), *service.command)
    if "--sentinel" in words or any(word.rpartition("/")[2] == "sentinel.conf" for word in words):
        return False
    programs = [*_programs(words), *_of_scripts(service, words)]
    if any(program in _STARTS_SERVER for program in programs):
        return True
    if any(program in _STARTS_OTHER for program in programs) or (programs and service.built.base):
        return False
    named = [program.rpartition(".")[0] or program for program in programs]
    return not any(_OF_A_JOB.search(name) for name in named if name)


def is_replica(service: ComposeService) -> bool:
    """Return whether a server is a replica, which takes no writes, or a node of a cluster, with a part of the keys."""
    words = (*(service.entrypoint or ()), *service.command)
    if re.search(r"--?(replicaof|slaveof)\b|--cluster-enabled[ =]+yes\b|\bpg_basebackup\b", " ".join(words)):
        return True
    if any(_OF_A_REPLICA.search(_brought(service, word)) for word in words if word.endswith(".conf")):
        return True
    modes = [value for name, value in service.environment.items() if name.endswith("REPLICATION_MODE")]
    return any(mode.lower() in ("slave", "replica", "standby") for mode in modes)


def _brought(service: ComposeService, word: str) -> str:
    """The text of a file of the container that the compose file or the Dockerfile brings; empty for any other word."""
    for volume in (*service.volumes, *service.built.copied):
        named, target = PurePosixPath(word), PurePosixPath(volume.target)
        if volume.type == "bind" and (named.is_relative_to(target) or word == target.name):
            place = Path(volume.source, named.relative_to(target) if named.is_relative_to(target) else "")
            if place.is_file():
                return (read_file(place) or b"").decode(errors="replace")
    return ""


def _of_scripts(service: ComposeService, words: Sequence[str]) -> Iterator[str]:
    """The programs that a script of the project's own starts, those that it is handed (`exec "$@"`) included."""
    for place, word in enumerate(words[:2]):  # the script itself, or behind its shell
        if text := _brought(service, word):
            yield from _of_script(text)
            yield from _programs(words[place + 1 :]) if '"$@"' in text else ()


def _programs(words: Sequence[str]) -> Iterator[str]:
    """The names of the programs a command line starts, those of a shell's script included."""
    if not words:
        return
    first, rest = words[0], list(words[1:])
    name = first.rpartition("/")[2]
    if name in ("tini", "dumb-init", "catatonit", *_BEFORE_A_PROGRAM):
        yield from _programs([word for word in rest if word != "--"])
    elif name in _SHELLS:
        script = next((word for word in rest if not re.fullmatch(r"-[a-z]+|-o|pipefail", word)), "")
        if any(re.fullmatch("-[a-z]*c[a-z]*", word) for word in rest):
            yield from _of_script(script)
        else:
            yield script.rpartition("/")[2]
    elif name in _WITH_A_USER:
        yield from _programs(rest[1:])
    elif not first.startswith("-"):
        yield name
        if name == "docker-entrypoint.sh" and rest:
            return


def _of_script(script: str) -> Iterator[str]:
    for line in re.split(r"&&|\|\||[;|&\n(){}`]", script):
        words = [word.strip("\"'") for word in line.split()]
        while words and (words[0] in _BEFORE_A_PROGRAM or re.match(r"[A-Za-z_]\w*=", words[0])):
            words.pop(0)
        if words and words[0] in _WITH_A_USER:
            words = words[2:]
        if words:
            yield words[0].rpartition("/")[2]
