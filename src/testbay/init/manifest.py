"""The manifest that `init` writes: a line for each finding, with a comment on its source."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from testbay.init import addresses, entry, insisted, migrations, servers, settingsfiles, testing, variables
from testbay.init.addresses import FixedAddress
from testbay.init.project import Finding, Project, listed
from testbay.init.servers import Servers

FILE = "testbay.toml"
_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A manifest to be written; `missing` are messages about what a person has to add."""

    keys: list[Finding]
    env: list[Finding]
    servers: Servers
    needs_test: bool
    missing: list[str] = field(default_factory=list)
    fixed: Mapping[str, FixedAddress] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content of the file."""
        lines = [
            "# Made by `testbay init`; each line says what it was taken from. Keys: testbay explain reference/manifest"
        ]
        lines += _aligned(self.keys)
        lines += ["", "[env]", *_aligned(self.env)] if self.env else []
        return "\n".join(lines) + "\n"


def draft(project: Project, environ: Mapping[str, str]) -> Draft:
    """Draft a manifest from the project's files; `environ` holds the variables that compose files may ask for."""
    found = servers.servers(project, environ)
    asked = insisted.insisted(project, found.needs)
    found = servers.for_tests(found, asked)
    tests = testing.tests(project)
    keys = [_name(project), _needs(found)]
    if found.compose:
        names = ", ".join(f'"{name}"' for name in found.compose)
        value, has = (f"[{names}]", "they have") if len(found.compose) > 1 else (names, "it has")
        keys.append(Finding(key="compose", value=value, source=f"{has} every server that is needed"))
    migration = migrations.migrations(project, found.scripts) if "postgres" in found.needs else None
    keys += [migration] if migration else []
    needs_test = tests is None and bool(found.needs)
    keys += [tests] if tests else []
    keys += [Finding(key="tests", value='"tests"', source="a first test was written there")] if needs_test else []
    keys += entry.entry(project)
    unread = variables.unread(project, found.needs)
    hostless = [need for need in variables.without("host", project) if need in found.needs]
    alembic = ["postgres"] if settingsfiles.alembic_is_fixed(project) and "postgres" in found.needs else []
    fixed = addresses.fixed(project, [*unread, *hostless, *alembic]) | asked
    published = {need: found.published[need] for need in unread if need in found.published and need not in fixed}
    unread = [need for need in unread if need not in published]
    keys += _ports(found, fixed, variables.portless(project), {} if needs_test else published)
    env = sorted(variables.environment(project, found.needs), key=lambda line: line.source.partition(":")[0])
    env += variables.taken_back(project, [need for need, address in fixed.items() if address.is_local])
    env = [replace(line, value=line.value.replace("{dragonfly.", f"{{{found.name('dragonfly')}.")) for line in env]
    env += _caller(fixed.get("postgres"), env)
    env += [settings] if (settings := testing.django_settings(project)) else []
    path = testing.django_path(project, tests.value.strip('"')) if settings and tests else None
    env += [path] if path else []
    env += [options] if (options := testing.django_files(project)) else []
    env += [line for name, line in testing.demanded(project).items() if name not in {one.key for one in env}]
    missing = [
        *_missing(project, found, migration),
        *([] if tests or needs_test else ["a test: no file is called test_*.py"]),
        *_unled(found, unread, fixed),
        *entry.unstarted(project),
        *testing.overruled(project),
        *testing.own_servers(project, found.needs, variables.led(project)),
    ]
    logins = insisted.insisted(project, variables.without("db", project), defaults=True) | fixed
    return Draft(keys=keys, env=env, servers=found, needs_test=needs_test, missing=missing, fixed=logins)


def _ports(
    found: Servers,
    fixed: Mapping[str, FixedAddress],
    portless: Mapping[str, str],
    published: Mapping[str, tuple[int, str]],
) -> list[Finding]:
    """Make the key `ports` of the fixed ports at which the program looks for servers.

    Where nothing tells, the port that the compose file publishes counts: a library's own default is in no source.
    """
    ports = {need: (port, f"{where}, and no variable names another") for need, (port, where) in published.items()}
    ports |= {need: (addresses.PORTS[need], f"{where}, and no port") for need, where in portless.items()}
    ports |= {a.need: (a.port, f"{a.where} names {a.host}:{a.port}") for a in fixed.values() if a.is_local}
    ports = {need: said for need, said in ports.items() if need in found.needs}
    value = ", ".join(f"{found.name(need)} = {port}" for need, (port, _) in ports.items())
    source = "; ".join(where for _, where in ports.values())
    return [Finding(key="ports", value=f"{{ {value} }}", source=source)] if ports else []


def _caller(said: FixedAddress | None, env: Collection[Finding]) -> list[Finding]:
    """Make the variables by which libpq logs in where a fixed address names no user: not as who runs the tests."""
    if said is None or not said.names_no_user or not said.is_local:
        return []
    names = {"PGUSER": "user", "PGPASSWORD": "password"}.items()
    lines = [Finding(key=n, value=f'"{{postgres.{part}}}"', source=f"{said.where} names no user") for n, part in names]
    return [line for line in lines if line.key not in {one.key for one in env}]


def _unled(found: Servers, unread: list[str], fixed: Mapping[str, FixedAddress]) -> list[str]:
    """Describe the servers whose address the program reads from no variable and does not fix either."""
    far = [address for address in fixed.values() if not address.is_local]
    lines = [
        f"a way to {found.name(one.need)}: {one.where} names the host {one.host!r}, which only its network knows; "
        "read it from a variable of the environment, and name that in `env`"
        for one in far
    ]
    return lines + [
        f"a variable that leads the program to {found.name(need)} (`env`): testbay explain reference/commands"
        for need in unread
        if need not in fixed
    ]


def _missing(project: Project, found: Servers, migration: Finding | None) -> list[str]:
    lines = [f"a compose file to use: {text}" for text in found.refused]
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
    if "postgres" in found.needs and migration is None and project.code and not found.scripts:
        lines.append("migrations: the database starts without tables (`migrate`, `migrations`)")
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
    """Replace the characters that TOML forbids in a comment, and limit its length."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
