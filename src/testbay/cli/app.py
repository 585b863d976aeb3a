"""Arguments → call → exit code. Everything heavy is imported inside the command that needs it."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from testbay import process
from testbay import settings as configuration
from testbay.cli import around, production, servers, starting
from testbay.errors import BayError, unusable
from testbay.output import Voice, farewell, open_closed_streams

app = typer.Typer(
    name="testbay",
    help="Real PostgreSQL, Dragonfly and NATS for every test run; gone without a trace afterwards.",
    epilog="Example: testbay run agent_executor -- -k health      More: docs/reference.md",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
starting.add_to(app)

Service = Annotated[
    str | None,
    typer.Argument(help="A service's name; the project's only one when left out.", show_default=False),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="auto, compose or embedded (also TESTBAY_ENGINE).", show_default=False),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Only this part of the tests (also TESTBAY_SHARD).", show_default=False
    ),
]
DurationsOption = Annotated[
    str | None,
    typer.Option(
        "--durations",
        metavar="FILE",
        help="With --shard: split by these recorded durations (also TESTBAY_DURATIONS).",
        show_default=False,
    ),
]
ColdOption = Annotated[bool, typer.Option("--cold", help="Initialise and migrate from nothing (also TESTBAY_COLD=1).")]
_PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def main() -> None:
    """The `testbay` command."""
    open_closed_streams()
    sys.exit(farewell(_answer()))


def _answer() -> int:
    """Call the command; returns its exit code."""
    try:
        app()
    except SystemExit as ended:  # typer's way to end
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BayError as error:
        Voice(environ=configuration.environ()).error(error)
        return error.exit_code
    except OSError as error:
        known = unusable(error)
        Voice(environ=configuration.environ()).error(known)
        return known.exit_code
    except KeyboardInterrupt:
        Voice(environ=configuration.environ()).say("error: interrupted")
        return 130
    return 0


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
) -> None:
    """Only here so that --version is listed."""
    if version:
        Voice().say(f"testbay {metadata.version('testbay')}")
        raise typer.Exit


def _asked(service: str | None, engine: str | None, **flags: Any) -> tuple[Any, Path, configuration.Settings]:
    from testbay.manifest import service as manifest

    chosen, here = configuration.load(engine=engine, **flags), Path.cwd()
    project = manifest.find_project(here)
    return manifest.find_service(service, project, here), project, chosen


@app.command(cls=around.AroundACommand, context_settings=_PASS_THROUGH)
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

    What follows -- goes to pytest. Example: testbay run agent_executor -- -k health -x
    """
    from testbay.harness.run import command as runs

    service, words = around.service_and_words(service, context.args)
    manifest, project, chosen = _asked(service, engine, cold=cold, no_coverage=no_cov, shard=shard, durations=durations)
    raise typer.Exit(runs.execute(runs.Run(manifest, project, chosen, Voice(environ=chosen.environ)), words))


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them, as CI downloads artifacts.")],
) -> None:
    """Make one run out of the runs of all shards, and prove that together they ran every test once.

    Example: testbay merge artifacts/
    """
    from testbay.harness.run.shards import merge as merging
    from testbay.manifest import service as manifest

    chosen = configuration.load()
    voice = Voice(environ=chosen.environ)
    raise typer.Exit(merging.merge(folders, manifest.find_project(Path.cwd()), chosen, voice))


@app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's id, a part of it, or its folder; the newest if left out.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write it to this file.", show_default=False)] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report: one HTML file with the failures, their logs, a timeline and every test.

    Example: testbay report --open
    """
    from testbay.harness.run import report as reports
    from testbay.harness.run.report import runfile
    from testbay.manifest import service as manifest

    voice = Voice(environ=configuration.environ())
    named = Path(run or "")  # an artifact that was downloaded is in no project
    folder = named if (named / "run.json").is_file() else runfile.find(manifest.find_project(Path.cwd()), run)
    file = output or folder / "report.html"
    reports.write(runfile.read(folder), file)
    voice.say(str(file))
    if show and not reports.show(file):
        voice.say("no browser was found: open the file above")


@app.command("exec", cls=around.AroundACommand, context_settings=_PASS_THROUGH)
def exec_(
    context: typer.Context,
    service: Service = None,
    engine: EngineOption = None,
    cold: ColdOption = False,
    no_migrate: Annotated[bool, typer.Option("--no-migrate", help="Do not apply migrations first.")] = False,
) -> None:
    """Run any command with a ready stack's environment; its exit code is ours.

    Example: testbay exec agent_executor -- psql -c 'select 1'
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = _asked(service, engine, cold=cold)
    if not context.args:
        raise typer.BadParameter("what should run? testbay exec [SERVICE] -- CMD…")
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    raise typer.Exit(commands.execute(manifest, project, chosen, voice, context.args, migrate=not no_migrate))


@app.command("with-secrets", cls=around.AroundACommand)
def with_secrets(
    context: typer.Context,
    service: Service = None,
    from_env: Annotated[
        bool, typer.Option("--from-env", help="Take the values from your environment, not from AWS.")
    ] = False,
) -> None:
    """Run a command with a service's secrets from AWS Parameter Store; no report of it may hold one.

    Its exit code is ours. Example: testbay with-secrets agent_executor -- make integration-test
    """
    from testbay.secrets import command as secrets

    manifest, project, chosen = _asked(service, None)
    if not context.args:
        raise typer.BadParameter("what should run? testbay with-secrets [SERVICE] -- CMD…")
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    known = Voice(environ=chosen.environ)
    raise typer.Exit(secrets.execute(manifest, project, chosen, voice, context.args, masks=known, from_env=from_env))


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

    manifest, project, chosen = _asked(service, engine, cold=cold)
    idle_s = configuration.duration(idle, "--idle") if keep else None
    voice = Voice(sys.stderr, environ=chosen.environ)
    commands.up(manifest, project, chosen, voice, Voice(environ=chosen.environ), idle_s=idle_s)


@app.command()
def migrate(service: Service = None, engine: EngineOption = None) -> None:
    """Apply migrations and streams to the kept stack of a service.

    Example: testbay migrate agent_executor
    """
    from testbay.harness.stack import commands

    manifest, project, chosen = _asked(service, engine)
    commands.migrate(manifest, project, chosen, Voice(environ=chosen.environ))


@app.command()
def down(
    stack: Annotated[
        str | None, typer.Argument(help="A stack's id or a service; every stack of this project if left out.")
    ] = None,
) -> None:
    """End kept stacks of this project. Example: testbay down agent_executor."""
    from testbay.harness.stack import commands
    from testbay.manifest import service as manifest

    chosen = configuration.load()
    commands.down(stack, manifest.find_project(Path.cwd()), chosen, Voice(environ=chosen.environ))


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


@app.command("open", cls=around.AroundACommand, context_settings=_PASS_THROUGH)
def open_(
    context: typer.Context,
    test: Annotated[
        str | None, typer.Argument(help="A failed test's id, a part of it, or its number; the newest one if left out.")
    ] = None,
    engine: EngineOption = None,
    archive: Annotated[Path | None, typer.Option("--archive", help="Open this folder.", metavar="FOLDER")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show which tests' state is kept, newest first.")] = False,
) -> None:
    """Look at a failed test's state: with psql, redis-cli or nats, or run a command on it.

    Example: testbay open test_order -- psql -c 'select * from items'
    """
    from testbay.harness.run import reopen
    from testbay.manifest import service as manifest

    chosen = configuration.load(engine=engine)
    project = manifest.find_project(Path.cwd())
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    if show_list:
        reopen.show_list(project, Voice(environ=chosen.environ))
        return
    words = [test, *context.args] if archive and test else context.args  # with --archive no test is to be named
    kept = reopen.choose(project, None if archive else test, archive)
    raise typer.Exit(reopen.reopen(kept, project, chosen, voice, words))


@app.command()
def check(
    service: Service = None,
    *,
    phase: Annotated[
        str, typer.Option(help="pre-merge, pre-deploy, post-deploy or scheduled.", metavar="PHASE", show_default=False)
    ] = "",
    target: Annotated[
        str | None, typer.Option(help="A deployment of the manifest; its only one when left out.", show_default=False)
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this check; can be given again.", show_default=False)
    ] = None,
    commit: Annotated[
        str | None, typer.Option(help="The commit that should answer (also GITHUB_SHA, git).", show_default=False)
    ] = None,
    within: Annotated[str, typer.Option(help="The time for the whole run.", metavar="15m")] = "15m",
    folder: production.Folder = None,
    branch: production.Branch = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Ask a deployment, a configuration, or the service on a lease whether it is as the manifest says.

    Example: testbay check agent_executor --phase post-deploy --target production
    """
    from testbay.production.checks import command as checking
    from testbay.production.history import command as trends

    manifest, project, chosen = _asked(service, None)
    within_s = configuration.duration(within, "--within")
    asked = checking.Asked(
        manifest=manifest,
        project=project,
        settings=chosen,
        phase=checking.phase(phase),
        target=target,
        ids=tuple(ids or ()),
        commit=commit,
        within_s=within_s,
        history=trends.place(folder, branch, chosen.environ) if folder or branch else None,
        as_json=as_json,
    )
    voice = Voice(sys.stderr if as_json else None, environ=chosen.environ)
    report, code = _execute(asked, voice)
    if as_json and report is not None:
        Voice(environ=chosen.environ).say(report.as_json().rstrip())
    raise typer.Exit(code)


def _execute(asked: Any, voice: Voice) -> tuple[Any, int]:
    if asked.phase != "pre-merge":
        from testbay.production.checks import command as checking

        return checking.execute(asked, voice)
    from testbay.premerge import command as premerge  # stacks and engines: half the start-up of a call to a deployment

    return premerge.execute(asked, voice)


@app.command()
def incidents(
    *,
    report: Annotated[Path, typer.Argument(help="What testbay check --json wrote; - for standard input.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and told; change nothing.")
    ] = False,
    label: Annotated[str, typer.Option(help="The label of our issues.")] = "testbay-incident",
    close_after: Annotated[int, typer.Option(help="Close after so many good runs in a row.")] = 2,
    reopen_within: Annotated[
        str, typer.Option(help="Open one again that was closed less than this ago.", metavar="24h")
    ] = "24h",
    last_good: Annotated[str, typer.Option(help="The commit of the last good run.", show_default=False)] = "",
) -> None:
    """Make GitHub's issues match a report of checks: open, update and close them; tell Slack (SLACK_WEBHOOK_URL).

    Example: testbay incidents report.json --dry-run
    """
    from testbay.production.checks import report as reports
    from testbay.production.incidents import reconcile
    from testbay.secrets import known

    chosen = configuration.load()
    window_s = configuration.duration(reopen_within, "--reopen-within")
    options = reconcile.Options(
        label=label, close_after=close_after, reopen_within_s=window_s, last_good=last_good, dry_run=dry_run
    )
    mask = known.of(Path.cwd(), chosen.environ)
    with process.signals_as_errors():
        reconcile.execute(reports.read(report), chosen.environ, Voice(environ=chosen.environ), options, mask=mask)


for name, command in production.COMMANDS.items():
    app.command(name)(command)
app.add_typer(servers.app, name="servers")


@app.command()
def doctor() -> None:
    """What this machine can do, and what is missing. Example: testbay doctor."""
    from testbay.harness import doctor as checkup

    chosen = configuration.load()
    raise typer.Exit(checkup.report(chosen, Path.cwd(), Voice(environ=chosen.environ)))
