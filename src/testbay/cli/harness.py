"""The commands around a test run: `run`, `merge`, `report`, `open`, `exec` and `doctor`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli import around, completion
from testbay.cli.options import (
    PASS_THROUGH,
    ColdOption,
    DurationsOption,
    EngineOption,
    Service,
    ShardOption,
    argument,
    option,
    read_service,
)
from testbay.output import Voice

app = typer.Typer()


@app.command(cls=around.AroundACommand, context_settings=PASS_THROUGH)
def run(
    context: typer.Context,
    service: Service = None,
    *,
    engine: EngineOption = None,
    cold: ColdOption = False,
    no_cov: Annotated[bool, typer.Option("--no-cov", help="Measure no coverage.")] = False,
    shard: ShardOption = None,
    durations: DurationsOption = None,
) -> None:
    """Run a service's integration tests: start, ready, migrate, pytest with coverage, tear down.

    Everything after -- goes to pytest. Example: testbay run -- -k health -x
    """
    from testbay.harness.run import command as runs
    from testbay.harness.run.run import Run

    service, words = around.service_and_words(service, context.args)
    manifest, project, chosen = read_service(
        service, engine, cold=cold, no_coverage=no_cov, shard=shard, durations=durations
    )
    raise typer.Exit(runs.execute(Run(manifest, project, chosen, Voice(environ=chosen.environ)), words))


@app.command()
def merge(
    folders: Annotated[list[Path], argument("FOLDER", "Run folders, or folders of them, as CI downloads artifacts.")],
) -> None:
    """Make one run out of the runs of all shards, and check that together they ran every test once.

    Example: testbay merge artifacts/
    """
    from testbay.harness.run.shards import merge as merging
    from testbay.manifest.project import find_project

    chosen = configuration.load()
    voice = Voice(environ=chosen.environ)
    raise typer.Exit(merging.merge(folders, find_project(Path.cwd()), chosen, voice))


@app.command()
def report(
    run: Annotated[
        str | None,
        argument("RUN", "A run's id, a part of it, or its folder; the newest if left out.", complete=completion.runs),
    ] = None,
    output: Annotated[Path | None, option("FILE", "Write it to this file.", "--output")] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report: one HTML file with the failures, their logs, a timeline and every test.

    Example: testbay report --open
    """
    from testbay.harness.run import folder as runfolder
    from testbay.harness.run import report as reports
    from testbay.harness.run.report import runfile
    from testbay.manifest.project import find_project

    voice = Voice(environ=configuration.environ())
    named = Path(run or "")  # an artifact that was downloaded is in no project
    folder = named if (named / runfolder.RECORD).is_file() else runfile.find(find_project(Path.cwd()), run)
    file = output or folder / "report.html"
    reports.write(runfile.read(folder), file)
    voice.say(str(file))
    if show and not reports.show(file):
        voice.say("no browser was found: open the file above")


@app.command("open", cls=around.AroundACommand, context_settings=PASS_THROUGH)
def open_(
    context: typer.Context,
    test: Annotated[
        str | None,
        argument(
            "TEST",
            "A failed test's id, a part of it, or its number; the newest one if left out.",
            complete=completion.failed_tests,
        ),
    ] = None,
    engine: EngineOption = None,
    archive: Annotated[
        Path | None, option("FOLDER", "Open the state in this folder, such as one from CI.", "--archive")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show which tests' state is kept, newest first.")] = False,
) -> None:
    """Look at a failed test's state: with psql, redis-cli or nats, or run a command on it.

    Example: testbay open test_order -- psql -c 'select * from items'
    """
    from testbay.harness.run import reopen
    from testbay.manifest.project import find_project

    chosen = configuration.load(engine=engine)
    project = find_project(Path.cwd())
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    if show_list:
        reopen.show_list(project, Voice(environ=chosen.environ))
        return
    words = [test, *context.args] if archive and test else context.args  # with --archive no test is to be named
    kept = reopen.choose(project, None if archive else test, archive)
    raise typer.Exit(reopen.reopen(kept, project, chosen, voice, words))


@app.command("exec", cls=around.AroundACommand, context_settings=PASS_THROUGH)
def exec_(
    context: typer.Context,
    service: Service = None,
    engine: EngineOption = None,
    cold: ColdOption = False,
    no_migrate: Annotated[bool, typer.Option("--no-migrate", help="Do not apply migrations first.")] = False,
) -> None:
    """Run a command with the environment of a ready stack, and end with its exit code.

    Example: testbay exec -- psql -c 'select 1'
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = read_service(service, engine, cold=cold)
    if not context.args:
        raise typer.BadParameter("what should run? testbay exec [SERVICE] -- CMD…")
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    raise typer.Exit(commands.execute(manifest, project, chosen, voice, context.args, migrate=not no_migrate))


@app.command()
def doctor() -> None:
    """Show what this machine can do, and what is missing. Example: testbay doctor."""
    from testbay.harness import doctor as checkup

    chosen = configuration.load()
    raise typer.Exit(checkup.report(chosen, Path.cwd(), Voice(environ=chosen.environ)))
