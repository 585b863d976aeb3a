"""The commands for stacks that stay: `up`, `logs`, `migrate`, `down`, `ps` and `gc`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli import completion
from testbay.cli.options import ColdOption, EngineOption, Service, argument, errors_aside, option, read_service
from testbay.output import Voice

app = typer.Typer()


@app.command()
def up(
    service: Service = None,
    engine: EngineOption = None,
    cold: ColdOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running and return.")] = False,
    idle: Annotated[str, option("30m", "With --keep: end it when it was not used for this long.")] = "30m",
) -> None:
    """Start a stack (servers, migrated) and hold it until Ctrl-C, or leave it running with --keep.

    Example: eval "$(testbay up --keep --idle 2h)"
    """
    from testbay.harness.stack import commands

    with errors_aside():  # or `eval` would take their words for commands
        manifest, project, chosen = read_service(service, engine, cold=cold)
        idle_s = configuration.duration(idle, "--idle")
        voice = Voice(sys.stderr, environ=chosen.environ)
        commands.up(manifest, project, chosen, voice, Voice(environ=chosen.environ), idle_s=idle_s if keep else None)


@app.command()
def logs(
    service: Annotated[
        str | None,
        argument(
            "NAME", "A service, a stack or a run; everything of this project if left out.", complete=completion.services
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines, too, until Ctrl-C.")] = False,
    lines: Annotated[int, option("N", "The last N lines of each log; -1 means all.", "--lines", "-n")] = 50,
    only: Annotated[
        str | None,
        option(
            "NAME",
            "Only this server, such as postgres.",
            "--only",
            complete=completion.one_of("postgres", "redis", "valkey", "dragonfly", "nats"),
        ),
    ] = None,
) -> None:
    """Show what the servers of a running stack log, or what those of the newest run logged.

    Example: testbay logs -f
    """
    from testbay.harness.stack import logs as streams
    from testbay.manifest.project import find_project
    from testbay.secrets import known

    chosen, project = configuration.load(), find_project(Path.cwd())
    asked_for = streams.WhichLogs(which=service, only=only, lines=lines, follow=follow)
    mask = known.of(project, chosen.environ)
    streams.show(asked_for, project, chosen, Voice(environ=chosen.environ), mask)


@app.command()
def migrate(service: Service = None, engine: EngineOption = None) -> None:
    """Apply migrations and streams to the kept stack of a service.

    Example: testbay migrate
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = read_service(service, engine)
    commands.migrate(manifest, project, chosen, Voice(environ=chosen.environ))


@app.command()
def down(
    stack: Annotated[
        str | None,
        argument(
            "STACK", "A stack's id or a service; every stack of this project if left out.", complete=completion.stacks
        ),
    ] = None,
) -> None:
    """End kept stacks of this project. Example: testbay down."""
    from testbay.harness.stack import commands
    from testbay.manifest.project import find_project

    chosen = configuration.load()
    commands.down(stack, find_project(Path.cwd()), chosen, Voice(environ=chosen.environ))


@app.command()
def ps() -> None:
    """List all your stacks, of every project: owner, age, engine, ports. Example: testbay ps."""
    from testbay.harness.stack import commands

    chosen = configuration.load()
    commands.ps(chosen, Voice(environ=chosen.environ))


@app.command()
def gc() -> None:
    """Remove what killed runs and stacks left behind, and say what was removed. Example: testbay gc."""
    from testbay.harness.stack import commands

    chosen = configuration.load()
    commands.gc(chosen, Voice(environ=chosen.environ))
