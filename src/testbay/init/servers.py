"""The servers that a project needs, by the images of its compose files and the clients among its packages."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from testbay.init import composefiles, insisted, packages, runners, variables
from testbay.init.addresses import FixedAddress
from testbay.init.composefiles import Candidate
from testbay.init.project import Project
from testbay.init.syntax import text_of
from testbay.manifest.compose.finding import TEST_FILE
from testbay.manifest.compose.recognition import room_of_image

_OTHER_CLIENTS = (
    *("mysqlclient", "pymysql", "aiomysql", "asyncmy", "mysql-connector-python", "mariadb", "pyodbc", "pymssql"),
    *("pymongo", "motor", "mongoengine", "beanie", "pika", "aio-pika", "kafka-python", "aiokafka", "confluent-kafka"),
    *("elasticsearch", "opensearch-py", "pymemcache", "pylibmc", "aiomcache", "minio", "qdrant-client", "neo4j"),
    *("cassandra-driver", "clickhouse-connect", "clickhouse-driver", "influxdb-client", "oracledb"),
)
_CLIENTS = {
    "postgres": "psycopg psycopg2 psycopg2-binary psycopg-binary psycopg-pool psycopg2cffi asyncpg aiopg pg8000"
    " procrastinate",
    "dragonfly": "redis valkey rq arq celery aioredis dramatiq django-redis django-rq huey walrus saq"
    " redis-om flask-redis taskiq-redis fastapi-limiter aiocache channels-redis coredis",
    "nats": "nats-py nats-python taskiq-nats",
}
_SORTING = 'POSTGRES_INITDB_ARGS: "--locale=C.UTF-8" # texts sort by code point, with and without Docker'
_TRUST = '      POSTGRES_HOST_AUTH_METHOD: "trust"'
_EXTRAS = {"postgres": r"^(postgres|asyncpg|psycopg|aiopg)", "dragonfly": r"^(redis|valkey|hiredis)", "nats": r"^nats"}
_IMAGES = {
    "postgres": "postgres:18",
    "redis": "redis:8",
    "valkey": "valkey/valkey:9",
    "dragonfly": "docker.dragonflydb.io/dragonflydb/dragonfly",
    "nats": "nats:2.12",
}
_MODULES = {  # what sources import, where no file names packages
    "postgres": ("psycopg", "psycopg2", "asyncpg", "aiopg", "pg8000"),
    "dragonfly": ("redis", "valkey", "rq", "arq", "celery", "django_redis"),
    "nats": ("nats",),
}
_BACKENDS = {  # what Django's settings name there
    "django.db.backends.postgresql": "postgres",
    "django.contrib.gis.db.backends.postgis": "postgres",
    "django.core.cache.backends.redis.RedisCache": "dragonfly",
}


_BESIDE = "docker-compose.testbay.yml"  # where the usual name is that of a file without the servers


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The needed servers, each with the place that shows the need, and their images.

    `chosen` are the compose files that have most servers, `compose` the names of files that the manifest has to say.
    `missing` tells that they do not have every server, and a file called `own` is to be written: with what `chosen`
    lack, with more for their service `over`, and with a script that makes the databases `beside`. `refused` says why
    files cannot be used, `offered` are the ports of several servers of a kind. `others` are services that testbay
    cannot run. `unknown` are services that may be servers: file, service, image.
    """

    needs: dict[str, str]
    images: dict[str, str]
    compose: tuple[str, ...] = ()
    missing: bool = False
    refused: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    own: str = TEST_FILE
    over: str = ""
    beside: tuple[str, ...] = ()
    chosen: Candidate = field(default_factory=Candidate)
    offered: Mapping[int, str] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    def name(self, need: str) -> str:
        """Return a dependency's name as the project's files have it: `redis` or `valkey` unless they say Dragonfly."""
        if need != "dragonfly":
            return need
        text = f"{self.images.get(need, '')} {self.needs.get(need, '')}".lower()
        return next((name for name in ("dragonfly", "valkey") if name in text), "redis")


def servers(project: Project, environ: Mapping[str, str]) -> Servers:
    """Find the servers in the project's compose files, packages and sources."""
    candidates = composefiles.candidates(project.root, environ)
    needs = _needs(project, candidates)
    complete = [one for one in candidates if needs.keys() <= one.images.keys() and not one.refused]
    own = _BESIDE if (project.root / TEST_FILE).is_file() else TEST_FILE
    useful = [one for one in candidates if one.images and not one.refused and not one.name.startswith("..")]
    chosen = max(complete or useful, key=lambda one: len(needs.keys() & one.images.keys()), default=Candidate())
    compose = () if chosen.is_usual and complete else chosen.names
    refused = [one.refused for one in candidates if one.refused and not set(one.names) <= set(compose)]
    return Servers(
        needs={need: needs[need] for need in _CLIENTS if need in needs},
        images={room_of_image(image): image for image in reversed([*runners.images(project)])}
        | {need: image for one in reversed(candidates) for need, (_, image) in one.images.items()},
        compose=compose if complete or not chosen.names else (*compose, own),
        missing=bool(needs) and not complete,
        refused=tuple(dict.fromkeys(refused)),
        others=next((one.others for one in complete or candidates if one.others), ()),
        own=own,
        chosen=chosen,
        offered={port: key for one in candidates for port, key in one.offered.items()},
        unknown={need: (one.name, *one.unknown[need]) for one in reversed(candidates) for need in one.unknown},
    )


def _needs(project: Project, candidates: Sequence[Candidate]) -> dict[str, str]:
    """Map each server that the project needs to the place that shows it: the first file's image, or a client."""
    usual = candidates[0] if candidates and candidates[0].is_usual else None
    clients = _clients(project)
    needs = {
        need: f"{one.name}: {key} ({image})"
        for one in reversed(candidates)
        for need, (key, image) in one.images.items()
    }
    if usual and clients and not usual.is_at_root:  # of a repository of several programs: not all are for this
        needs = {need: where for need, where in needs.items() if need in clients}
    needs = clients | needs
    if (
        usual and usual.is_of_tests and usual.images and not usual.refused
    ):  # it stays as it is, and testbay takes no other
        needs = {need: where for need, where in needs.items() if need in usual.images}
    return needs


def _clients(project: Project) -> dict[str, str]:
    """Find the servers whose clients are among the packages or, if no file names packages, the imports."""
    found = variables.needed(project) | _by_own_name(project) | _by_extra(project) | _by_package(project)
    if not found:  # SQLAlchemy's projects often name no driver, and its tests connect
        fixed = insisted.insisted(project, _CLIENTS, defaults=True).values()
        found = {one.need: f"{one.where} names {one.need}" for one in fixed if "conftest.py:" in one.where}
    return found if project.packages else _by_import(project) | found


def _by_package(project: Project) -> dict[str, str]:
    named = {need: project.has(*clients.split()) for need, clients in _CLIENTS.items()}
    return {need: f"{project.packages[client]}: {client}" for need, client in named.items() if client}


def _by_extra(project: Project) -> dict[str, str]:
    found: dict[str, str] = {}
    for extra, where in packages.extras(project).items():
        for need in (need for need, pattern in _EXTRAS.items() if re.search(pattern, extra)):
            found.setdefault(need, where)
    return found


def _by_own_name(project: Project) -> dict[str, str]:
    name, file = project.name
    return {
        need: f"{file}: {name} is a client" for need, clients in _CLIENTS.items() if name.lower() in clients.split()
    }


def _by_import(project: Project) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in project.code:
        for name in source.imports:
            for need in (need for need, modules in _MODULES.items() if name in modules):
                found.setdefault(need, f"{source.path}: import {name}")
    for source in project.sources:
        for node in (node for node in source.of(ast.Constant) if text_of(node) in _BACKENDS):
            found.setdefault(_BACKENDS[text_of(node)], f"{source.at(node)}: {text_of(node)}")
    return found


def without_a_room(project: Project) -> list[str]:
    """List the clients of servers that testbay cannot run, which a program needs; a library may only support them."""
    return [] if project.is_library else [name for name in _OTHER_CLIENTS if project.has(name)]


def for_tests(found: Servers, logins: Mapping[str, FixedAddress]) -> Servers:
    """Ask for a file that is laid over the project's if tests insist on a database that this one lacks."""
    database, chosen = logins["postgres"].db if "postgres" in logins else "", found.chosen
    if not database or chosen.database in ("", database) or chosen.is_of_tests:
        return found
    return replace(found, compose=(*chosen.names, found.own), missing=True, over=chosen.images["postgres"][0])


def with_databases(found: Servers, databases: Sequence[str]) -> Servers:
    """Have a script make more databases, in a file laid over the project's or in testbay's own."""
    chosen = found.chosen
    wanted = tuple(db for db in databases if db not in chosen.makes)
    if not wanted or "postgres" not in found.needs:
        return found
    if "postgres" not in chosen.images:
        return replace(found, beside=wanted)
    if chosen.is_of_tests:  # it stays as it is
        return found
    names, key = (*chosen.names, found.own), chosen.images["postgres"][0]
    return replace(found, beside=wanted, missing=True, compose=names, over=key)


def compose_text(found: Servers, logins: Mapping[str, FixedAddress]) -> str:
    """Compose a file with the servers, without volumes. `logins` are those that are fixed in the program."""
    lines = _head(found)
    if found.over:
        given = [] if found.beside else ["    environment:", *_given(logins["postgres"])]
        lines += [f"  {found.over}:", *given, *_granted(found)]
    for need in (need for need in found.needs if need not in found.chosen.images):
        name = found.name(need)
        is_taken = name in found.chosen.services or any(name == key for _, key, _ in found.unknown.values())
        lines += [f"  {name}{'-tests' * is_taken}:", f"    image: {found.images.get(need) or _IMAGES[name]}"]
        lines += ["    environment:", *_login(logins.get(need)), f"      {_SORTING}"] if need == "postgres" else []
        lines += _granted(found) if need == "postgres" else []
        lines += ["    command: -js"] if need == "nats" else []
    return "\n".join([*lines, *_script(found)]) + "\n"


def _head(found: Servers) -> list[str]:
    if found.over:
        return [f"# Laid over {found.chosen.name} for the tests, which want this database.", "services:"]
    if found.chosen.names:
        return [f"# Laid over {found.chosen.name} for the tests, with the servers that it lacks.", "services:"]
    about = "# The servers of the tests, with or without Docker: testbay's embedded engine reads this file, too."
    return [about, "services:"]


def _granted(found: Servers) -> list[str]:
    name = "zz-tests.sql" if found.chosen.scripts else "tests.sql"  # behind the project's own, which may make it
    where = f"        target: /docker-entrypoint-initdb.d/{name}"
    return ["    configs:", "      - source: tests_database", where] if found.beside else []


def _script(found: Servers) -> list[str]:
    if not found.beside:
        return []
    made = [f"CREATE DATABASE {json.dumps(db)};" for db in found.beside]
    if found.chosen.scripts:  # a loop in one of them may make it, too
        unless = "SELECT FROM pg_database WHERE datname ="
        pairs = zip(made, found.beside, strict=True)
        made = [f"SELECT '{create}' WHERE NOT EXISTS ({unless} '{db}')\\gexec" for create, db in pairs]
    return ["configs:", "  tests_database:", "    content: |", *(f"      {line}".replace("$", "$$") for line in made)]


def _login(fixed: FixedAddress | None) -> list[str]:
    lines = _given(fixed) if fixed else []
    if fixed is None or not fixed.password:
        lines += [_TRUST if lines else '      POSTGRES_PASSWORD: "testbay"']
    return lines


def _given(fixed: FixedAddress) -> list[str]:
    """Give the server the login that is fixed; a private password stays where it is, as the server asks for none."""
    is_shown = not (fixed.password and fixed.is_private)
    values = {"USER": fixed.user, "PASSWORD": fixed.password if is_shown else "", "DB": fixed.db}
    lines = [f"      POSTGRES_{name}: {json.dumps(text).replace('$', '$$')}" for name, text in values.items() if text]
    return lines if is_shown else [*lines, _TRUST]
