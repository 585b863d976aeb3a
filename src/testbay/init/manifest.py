"""The manifest that `init` writes: what was found, each line with where it comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from testbay.init import entry, migrations, servers, testing, variables
from testbay.init.project import Finding, Project
from testbay.init.servers import Servers

FILE = "testbay.toml"
_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A manifest to be written; `missing` says what a person has to add."""

    keys: list[Finding]
    env: list[Finding]
    servers: Servers
    needs_test: bool
    missing: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The file."""
        lines = [
            "# Made by `testbay init`; each line says what it was taken from. Keys: testbay explain reference/manifest"
        ]
        lines += _aligned(self.keys)
        lines += ["", "[env]", *_aligned(self.env)] if self.env else []
        return "\n".join(lines) + "\n"


def draft(project: Project, environ: Mapping[str, str]) -> Draft:
    """What the project's files say, as a manifest; `environ` is what compose files may ask for."""
    found = servers.servers(project, environ)
    tests = testing.tests(project)
    keys = [_name(project), _needs(found)]
    if found.compose:
        names = ", ".join(f'"{name}"' for name in found.compose)
        value, has = (f"[{names}]", "they have") if len(found.compose) > 1 else (names, "it has")
        keys.append(Finding(key="compose", value=value, source=f"{has} every server that is needed"))
    migration = migrations.migrations(project, found.scripts) if "postgres" in found.needs else None
    keys += [migration] if migration else []
    keys += [tests or Finding(key="tests", value='"tests"', source="a first test was written there")]
    keys += entry.entry(project)
    env = sorted(variables.environment(project, found.needs), key=lambda line: line.source.partition(":")[0])
    env += [settings] if (settings := testing.django_settings(project)) else []
    return Draft(
        keys=keys, env=env, servers=found, needs_test=tests is None, missing=_missing(project, found, migration)
    )


def _missing(project: Project, found: Servers, migration: Finding | None) -> list[str]:
    lines = [f"a compose file to use: {text}" for text in found.refused]
    lines += testing.lacking(project)
    if not project.packages and (inner := project.inner):
        lines.append(
            f"packages of this folder; {' and '.join(inner)} name some: `testbay init` there, if that is the program"
        )
    if project.packages and not found.needs and project.inner:
        lines.append(f"servers for {' and '.join(project.inner)}: `testbay init` there, if that is the program")
    if found.others:
        others = ", ".join(found.others)
        lines.append(f"a server of testbay's own for {others}: `also` starts it in Docker, or the tests do without")
    if not found.needs:
        lines.append("no server: neither a compose file nor a package names PostgreSQL, Redis or NATS (`needs`)")
    if project.code:
        lines += [
            f"no variable that leads the program to {need} (`env`): testbay explain reference/commands"
            for need in variables.unread(project, found.needs)
        ]
    if "postgres" in found.needs and migration is None and project.code and not found.scripts:
        lines.append("no migrations: the database is empty (`migrate`, `migrations`)")
    return lines


def _name(project: Project) -> Finding:
    named = project.table("project").get("name") or project.table("tool", "poetry").get("name")
    name = re.sub(r"[^a-z0-9]+", "_", str(named or project.root.resolve().name).lower()).strip("_")[:63]
    name = name if name[:1].isalpha() else f"service_{name}".rstrip("_")
    return Finding(key="service", value=f'"{name}"', source="pyproject.toml" if named else "the folder's name")


def _needs(found: Servers) -> Finding:
    value = ", ".join(f'"{need}"' for need in found.needs)
    return Finding(key="needs", value=f"[{value}]", source="; ".join(found.needs.values()) or "nothing was found")


def _aligned(lines: list[Finding]) -> list[str]:
    """Each line with its comment, all comments in one column where there is room."""
    texts = [f"{line.key} = {line.value}" for line in lines]
    column = max((len(text) for text in texts if len(text) <= _WIDTH // 2), default=0)
    return [f"{text:<{column}}  # {_comment(line.source)}" for text, line in zip(texts, lines, strict=True)]


def _comment(text: str) -> str:
    """On one line, without what TOML forbids in a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
