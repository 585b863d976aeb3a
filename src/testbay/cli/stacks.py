"""The commands for stacks that stay: `up`, `migrate`, `down`, `ps` and `gc`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli.options import ColdOption, EngineOption, Service, asked
from testbay.output import Voice

app = typer.Typer()


@app.command()
def up(
    service: Service = None,
    engine: EngineOption = None,
    cold: ColdOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running and return.")] = False,
    idle: Annotated[str, typer.Option(help="With --keep: end it after this long unused.", metavar="30m")] = "30m",
) -> None:
    """Start a migrated stack and hold it until Ctrl-C, or leave it behind with --keep.

    Example: eval "$(testbay up agent_executor --keep --idle 2h)"
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = asked(service, engine, cold=cold)
    idle_s = configuration.duration(idle, "--idle") if keep else None
    voice = Voice(sys.stderr, environ=chosen.environ)
    commands.up(manifest, project, chosen, voice, Voice(environ=chosen.environ), idle_s=idle_s)


@app.command()
def migrate(service: Service = None, engine: EngineOption = None) -> None:
    """Apply migrations and streams to the kept stack of a service.

    Example: testbay migrate agent_executor
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = asked(service, engine)
    commands.migrate(manifest, project, chosen, Voice(environ=chosen.environ))


@app.command()
def down(
    stack: Annotated[
        str | None, typer.Argument(help="A stack's id or a service; every stack of this project if left out.")
    ] = None,
) -> None:
    """End kept stacks of this project. Example: testbay down agent_executor."""
    from testbay.harness.stack import commands
    from testbay.manifest.project import find_project

    chosen = configuration.load()
    commands.down(stack, find_project(Path.cwd()), chosen, Voice(environ=chosen.environ))


@app.command()
def ps() -> None:
    """Every stack of this user: owner, age, engine, ports. Example: testbay ps."""
    from testbay.harness.stack import commands

    chosen = configuration.load()
    commands.ps(chosen, Voice(environ=chosen.environ))


@app.command()
def gc() -> None:
    """Collect what stacks with a dead guard left behind, and say what was done. Example: testbay gc."""
    from testbay.harness.stack import commands

    chosen = configuration.load()
    commands.gc(chosen, Voice(environ=chosen.environ))
