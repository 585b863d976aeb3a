"""The manifest that `init` writes: a line for each finding, with a comment on its source."""

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from testbay.init import (
    addresses,
    databases,
    dotenv,
    entry,
    insisted,
    libpq,
    migrations,
    servers,
    settingsfiles,
    testfiles,
    testing,
    variables,
)
from testbay.init.addresses import FixedAddress, of_text
from testbay.init.own import Own
from testbay.init.project import Finding, Project, listed
from testbay.init.servers import Servers
from testbay.init.variable import Read
from testbay.manifest.compose.finding import TEST_FILE
from testbay.manifest.compose.recognition import TITLES

FILE = "testbay.toml"
_WIDTH = 100
_LONGEST = 200  # of a comment
_FIRST_TEST = Finding(key="tests", value='"tests"', source="a first test was written there")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A manifest to be written; `missing` are messages about what a person has to add."""

    keys: list[Finding]
    env: list[Finding]
    servers: Servers
    needs_test: bool
    missing: list[str] = field(default_factory=list)
    logins: Mapping[str, FixedAddress] = field(default_factory=dict)

    @property
    def named(self) -> list[Finding]:
        """The services chosen where the compose file has several servers of a kind."""
        chosen = self.servers.chosen.named.items()
        return [
            Finding(key=self.servers.name(need), value=f'"{key}"', source=source)
            for need, (key, source) in chosen
            if need in self.servers.needs
        ]

    @property
    def text(self) -> str:
        """The content of the file."""
        lines = [
            "# Made by `testbay init`; each line says what it was taken from. Keys: testbay explain reference/manifest"
        ]
        lines += _aligned(self.keys)
        lines += ["", "[services]", *_aligned(self.named)] if self.named else []
        lines += ["", "[env]", *_aligned(self.env)] if self.env else []
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class _Ways:
    """The ways by which the program finds its servers where no variable holds their address.

    By an address in its sources, by libpq's own variables, or at the port that the compose file publishes. Beside a
    fixed address a call without one would find a socket of the developer's. For the `unknown` nothing tells; a program
    is kept off a PostgreSQL of the developer's at the usual port (`assumed`).
    """

    fixed: dict[str, FixedAddress]
    by_libpq: list[Finding]
    assumed: Mapping[str, tuple[int, str]]
    unknown: list[str]


def draft(project: Project, environ: Mapping[str, str]) -> Draft:
    """Draft a manifest from the project's files; `environ` holds the variables that compose files may ask for."""
    found = servers.servers(project, environ)
    own = testing.started(project)
    insisted_on = {need: one for need, one in insisted.insisted(project, found.needs).items() if need not in own}
    renamed = insisted.renamed(project)
    found = servers.for_tests(found, renamed | insisted_on)
    named = insisted.insisted(project, variables.without("db", project), defaults=True)
    ways = _ways(project, found, own, insisted_on)
    logins = (libpq.login(project) if ways.by_libpq else {}) | renamed | named | ways.fixed
    if "postgres" not in renamed | insisted_on | named:
        written = logins["postgres"].db if "postgres" in logins else "postgres"
        base = found.chosen.database if found.chosen.names else written
        of_tests = insisted.beside(project, base, is_fixed="postgres" in ways.fixed)
        found = servers.with_databases(found, [db for db in (of_tests, *databases.further(project, base)) if db])
    migration = migrations.migrations(project, found.chosen.scripts) if "postgres" in found.needs else None
    made = databases.own(project, found, migration)
    tests = testing.tests(project)
    needs_test = tests is None and bool(found.needs)
    tests_key = _FIRST_TEST if needs_test else tests
    ports = _ports(found, ways.fixed, _portless(project, found), {} if needs_test else ways.assumed)
    keys = [_name(project), _needs(found), _compose(found), migration, tests_key, *entry.entry(project), ports]
    missing = [
        *_missing(project, found, migration),
        *([] if tests_key else ["a test: no file is called test_*.py"]),
        *_unled(found, ways, {} if needs_test else ways.assumed),
        *_elsewhere(project, found, {one.port for one in ways.fixed.values()}),
        *entry.unstarted(project),
        *dotenv.overruled(project),
        *testfiles.of_other_runners(project),
        *testing.own_servers(project, found.needs, variables.led(project)),
    ]
    return Draft(
        keys=[key for key in keys if key],
        env=_env(project, found, ways, tests.value.strip('"') if tests else "", made),
        servers=found,
        needs_test=needs_test,
        missing=missing,
        logins={
            need: replace(one, is_private=dotenv.is_private(project.root, one.where)) for need, one in logins.items()
        },
    )


def _ways(project: Project, found: Servers, own: Collection[str], insisted_on: dict[str, FixedAddress]) -> _Ways:
    """Find the ways to the servers, without those of which the tests start their `own`."""
    unread = [need for need in variables.unread(project, found.needs) if need not in own]
    fixed = {need: one for need, one in _fixed(project, found, unread).items() if need not in own} | insisted_on
    is_far = "postgres" in fixed and not fixed["postgres"].is_local
    by_libpq = libpq.variables(project) if "postgres" in unread and not is_far else []
    open_ones = [need for need in unread if need not in fixed and not (need == "postgres" and by_libpq)]
    published = {
        need: (port, f"{where}, and no variable names another")
        for need, (port, where) in found.chosen.published.items()
        if need in open_ones
    }
    unknown = [need for need in open_ones if need not in published]
    # Of PostgreSQL alone: at the port of another server the tests may have a stand-in of their own.
    usual = {"postgres": (addresses.PORTS["postgres"], "the usual port: nothing says where the program looks")}
    is_assumed = "postgres" in unknown and not project.is_library
    return _Ways(fixed=fixed, by_libpq=by_libpq, assumed=published | (usual if is_assumed else {}), unknown=unknown)


def _fixed(project: Project, found: Servers, unread: Collection[str]) -> dict[str, FixedAddress]:
    """Find the addresses that the sources fix, of the servers whose host no variable holds."""
    hostless = {*unread, *variables.without("host", project)}
    if settingsfiles.fixed_for_alembic(project):
        hostless.add("postgres")
    return addresses.fixed(project, hostless & found.needs.keys())


def _compose(found: Servers) -> Finding | None:
    written = [found.own] if found.missing and found.own != TEST_FILE else []
    names = ", ".join(f'"{name}"' for name in found.compose or written)
    value, has = (f"[{names}]", "they have") if len(found.compose) > 1 else (names, "it has")
    if found.over:
        return Finding(key="compose", value=value, source="the last names the database that the tests want")
    return Finding(key="compose", value=value, source=f"{has} every server that is needed") if names else None


def _env(project: Project, found: Servers, ways: _Ways, tests: str, made: Own) -> list[Finding]:
    """Make the lines of `[env]`; `tests` is the folder of the tests, if there is one."""
    local = [need for need, address in ways.fixed.items() if address.is_local]
    env = sorted(
        variables.environment(project, found.needs, found.chosen, made, local),
        key=lambda line: line.source.partition(":")[0],
    )
    env += variables.taken_back(project, local)
    env = [replace(line, value=line.value.replace("{dragonfly.", f"{{{found.name('dragonfly')}.")) for line in env]
    env += _caller(ways.fixed.get("postgres"), [*env, *ways.by_libpq])
    lines = {line.key: line for line in env}
    for line in (*testing.variables(project, tests), *testing.demanded(project).values(), *ways.by_libpq):
        lines.setdefault(line.key, line)
    return list(lines.values())


def _ports(
    found: Servers,
    fixed: Mapping[str, FixedAddress],
    portless: Mapping[str, tuple[int, str]],
    assumed: Mapping[str, tuple[int, str]],
) -> Finding | None:
    """Make the key `ports` of the fixed ports at which the program looks for servers.

    Where nothing tells, that which is `assumed` counts: a library's own default is in no source.
    """
    ports = {**assumed, **portless}
    ports |= {a.need: (a.port, f"{a.where} names {a.host}:{a.port}") for a in fixed.values() if a.is_local}
    ports = {need: port for need, port in ports.items() if need in found.needs}
    value = ", ".join(f"{found.name(need)} = {number}" for need, (number, _) in ports.items())
    source = "; ".join(where for _, where in ports.values())
    return Finding(key="ports", value=f"{{ {value} }}", source=source) if ports else None


def _portless(project: Project, found: Servers) -> dict[str, tuple[int, str]]:
    """Find the ports of the servers of which variables hold the host alone: the usual ones, unless sources name others.

    `54321 if host == "localhost" else 5432` does so, with the port at which the compose file publishes the server.
    """
    hosts = variables.portless(project)
    if not hosts:  # most have none: the sources need not be read for it
        return {}
    made = {need: one for need, one in addresses.fixed(project, hosts).items() if one.is_local}
    numbers = {node.value: source.at(node) for source in project.code for node in source.of(ast.Constant)}
    ports: dict[str, tuple[int, str]] = {}
    for need, where in hosts.items():
        published, _ = found.chosen.published.get(need, (0, ""))
        port, named = (made[need].port, made[need].where) if need in made else (published, numbers.get(published, ""))
        is_other = named and port != addresses.PORTS[need]
        said = (
            (port, f"{where}, and {named} names {port}")
            if is_other
            else (addresses.PORTS[need], f"{where}, and no port")
        )
        ports[need] = said
    return ports


def _caller(address: FixedAddress | None, env: Collection[Finding]) -> list[Finding]:
    """Make the variables by which libpq logs in where a fixed address names no user: not as who runs the tests."""
    if address is None or not address.names_no_user or not address.is_local:
        return []
    return [
        Finding(key=name, value=f'"{{postgres.{part}}}"', source=f"{address.where} names no user")
        for name, part in (("PGUSER", "user"), ("PGPASSWORD", "password"))
        if name not in {line.key for line in env}
    ]


def _unled(found: Servers, ways: _Ways, ports: Collection[str]) -> list[str]:
    """Describe the servers whose address the program reads from no variable and does not fix either."""
    far = [address for address in ways.fixed.values() if not address.is_local]
    lines = [
        f"a way to {found.name(one.need)}: {one.where} names the host {one.host!r}, which only its network knows; "
        "read it from a variable of the environment, and name that in `env`"
        for one in far
    ]
    for need in ways.unknown:
        name, port = found.name(need), addresses.PORTS[need]
        kept_off = f"`ports = {{ {name} = {port} }}` keeps the tests off a server of yours there"
        lines.append(
            f"a variable that leads the program to {name} (`env`): testbay explain reference/commands; "
            + (f"without one, {kept_off}" if need in ports else f"if it always looks at port {port}, {kept_off}")
        )
    return lines


def _elsewhere(project: Project, found: Servers, taken: Collection[int]) -> list[str]:
    """Describe the servers that the sources want beside the one of a kind that a run starts, such as a cluster."""
    ports = insisted.elsewhere(project, found.offered.keys() - taken)
    several = [
        (read, [one.port for one in of_text(read.default, read.where) if one.port in taken])
        for read in variables.of_several(project)
    ]
    whatever = "and tests that go to the default of this variable meet whatever listens"
    lines = [
        f"a server for {read.where}, which reads {read.name}: a run starts a single one, "
        + (
            f"at port {met[0]}, the default of this variable"
            if met
            else whatever
            if read.default
            else _led(read, found)
        )
        for read, met in several
        if "dragonfly" in found.needs
    ]
    return lines + [
        f"a server for {where}, which names port {port} ({found.offered[port]}): a run starts one of a kind, and tests "
        "that go there meet whatever listens"
        for port, where in ports.items()
    ]


def _led(read: Read, found: Servers) -> str:
    part = "url" if re.search(r"UR[IL]S?$", read.name.upper()) else "host"
    return f'to which {read.name} = "{{{found.name("dragonfly")}.{part}}}" in `env` leads, if that will do'


def _missing(project: Project, found: Servers, migration: Finding | None) -> list[str]:
    lines = [f"a compose file to use: {text}" for text in found.refused]
    lines += [
        f"what {file}: {key} ({image}) runs: if that is {TITLES[need]}, whose port it has, remove {found.own}"
        f"{', the key `compose`' * bool(found.compose)} and add "
        f'[services] {need} = "{key}"'
        for need, (file, key, image) in found.unknown.items()
        if need in found.needs and found.missing
    ]
    taken = found.chosen.named.items()
    lines += [f"a second {TITLES[need]}, as {source}" for need, (_, source) in taken if need in found.needs]
    if not project.packages and (inner := project.inner):
        lines.append(
            f"packages of this folder; {listed(inner)} name some: `testbay init` there, if that is the program"
        )
    if project.packages and not found.needs and project.inner:
        lines.append(f"servers for {listed(project.inner)}: `testbay init` there, if that is the program")
    if found.others:
        others = ", ".join(found.others)
        lines.append(f"a server of testbay's own for {others}: `also` starts it in Docker, or the tests do without")
    elif clients := servers.without_a_room(project):
        where = project.packages[clients[0]]
        lines.append(
            f"a server of testbay's own for {clients[0]} ({where}): `also` starts one of a compose file in Docker, "
            "or the tests do without"
        )
    if not found.needs:
        lines.append("a server: neither a compose file nor a package names PostgreSQL, Redis or NATS (`needs`)")
    if "postgres" in found.needs and migration is None and project.code and not found.chosen.scripts:
        maker = migrations.maker(project)
        made = f"{maker} makes some" if maker else "`migrate` or `migrations` names what makes them"
        lines.append(f"migrations: the database starts without tables; {made}")
    return lines


def _name(project: Project) -> Finding:
    named, file = project.name
    name = re.sub(r"[^a-z0-9]+", "_", (named or project.root.resolve().name).lower()).strip("_")[:63]
    name = name if name[:1].isalpha() else f"service_{name}".rstrip("_")
    return Finding(key="service", value=f'"{name}"', source=file or "the folder's name")


def _needs(found: Servers) -> Finding:
    value = ", ".join(f'"{found.name(need)}"' for need in found.needs)
    return Finding(key="needs", value=f"[{value}]", source="; ".join(found.needs.values()) or "no server was found")


def _aligned(lines: list[Finding]) -> list[str]:
    """Format lines with their comments, in one column if there is room."""
    texts = [f"{line.key} = {line.value}" for line in lines]
    column = max((len(text) for text in texts if len(text) <= _WIDTH // 2), default=0)
    return [f"{text:<{column}}  # {_comment(line.source)}" for text, line in zip(texts, lines, strict=True)]


def _comment(text: str) -> str:
    """Replace the characters that TOML forbids in a comment, and limit its length and that of digests."""
    text = re.sub(r"(@sha256:[0-9a-f]{7})[0-9a-f]+", r"\1…", "".join(c if c.isprintable() else "?" for c in text))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
