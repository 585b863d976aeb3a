"""The commands after the merge: `check`, `incidents`, `history`, `latency`, `status-page` and `metrics`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from testbay import process
from testbay import settings as configuration
from testbay.cli import completion
from testbay.cli.options import Service, argument, errors_aside, option, read_service
from testbay.output import Voice

app = typer.Typer()

ReportFile = Annotated[Path, argument("REPORT", "What testbay check --json wrote; - for standard input.")]
Branch = Annotated[str | None, option("NAME", "The history is on this branch of origin.", "--branch")]
Folder = Annotated[Path | None, option("FOLDER", "The history is in this folder.", "--history")]
Ids = Annotated[
    list[str] | None,
    option("CHECK", "Only this check; can be given several times.", "--id", complete=completion.checks),
]


@app.command()
def check(
    service: Service = None,
    *,
    phase: Annotated[
        str, option("PHASE", "pre-merge, pre-deploy, post-deploy or scheduled.", complete=completion.phases)
    ] = "",
    target: Annotated[
        str | None,
        option(
            "TARGET", "A deployment of the manifest; may be left out if there is only one.", complete=completion.targets
        ),
    ] = None,
    ids: Ids = None,
    commit: Annotated[str | None, option("COMMIT", "The commit that should answer (also GITHUB_SHA, git).")] = None,
    within: Annotated[str, option("15m", "The time for the whole run.")] = "15m",
    folder: Folder = None,
    branch: Branch = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the manifest's checks against a deployment, a configuration, or the service on test servers.

    Example: testbay check --phase post-deploy --target production
    """
    from testbay.production.checks import command as checking
    from testbay.production.history import command as trends

    todo = f"name one of them; a single check is asked for with --id {service or 'ID'}"
    with errors_aside(when=as_json):
        manifest, project, chosen = read_service(service, None, todo=todo)
        options = checking.CheckOptions(
            manifest=manifest,
            project=project,
            settings=chosen,
            phase=checking.phase(phase),
            target=target,
            ids=tuple(ids or ()),
            commit=commit,
            within_s=configuration.duration(within, "--within"),
            history=trends.place(folder, branch, chosen.environ) if folder or branch else None,
            as_json=as_json,
        )
        report, code = _execute(options, Voice(sys.stderr if as_json else None, environ=chosen.environ))
    if as_json and report is not None:
        Voice(environ=chosen.environ).say(report.as_json().rstrip())
    raise typer.Exit(code)


def _execute(options: Any, voice: Voice) -> tuple[Any, int]:
    if options.phase != "pre-merge":
        from testbay.production.checks import command as checking

        return checking.execute(options, voice)
    from testbay.premerge import command as premerge  # stacks and engines: half the start-up of a call to a deployment

    return premerge.execute(options, voice)


@app.command()
def incidents(
    *,
    report: ReportFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and sent; change nothing.")
    ] = False,
    label: Annotated[str, option("LABEL", "The label of testbay's issues.")] = "testbay-incident",
    close_after: Annotated[int, option("N", "Close an issue after this many good runs in a row.")] = 2,
    reopen_within: Annotated[str, option("24h", "Open an issue again if it was closed less than this ago.")] = "24h",
    last_good: Annotated[str, option("COMMIT", "The commit of the last good run.")] = "",
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


@app.command()
def history(
    report: ReportFile,
    to: Annotated[Path | None, option("FOLDER", "Keep it in this folder.", "--to")] = None,
    branch: Branch = None,
) -> None:
    """Add a report of checks to the history, in .testbay/history or elsewhere.

    Example: testbay history report.json --branch testbay-history
    """
    from testbay.production.history import command as trends

    chosen = configuration.load()
    with process.signals_as_errors():
        trends.record(report, trends.place(to, branch, chosen.environ), Voice(environ=chosen.environ))


@app.command()
def latency(
    check: Annotated[str | None, argument("CHECK", "A check's id; by default every check, in a line each.")] = None,
    folder: Folder = None,
    branch: Branch = None,
    slower_than: Annotated[str | None, option("20%", "What counts as slower, instead of the manifest's value.")] = None,
    hard_ms: Annotated[float | None, option("MS", "The limit for the newest run, in milliseconds.")] = None,
) -> None:
    """Say whether a check has become slower, and show the runs that say so.

    Example: testbay latency health --branch testbay-history
    """
    from testbay.production.history import command as trends

    chosen = configuration.load()
    limits = trends.limits(Path.cwd(), slower_than=slower_than, hard_ms=hard_ms)
    where = trends.place(folder, branch, chosen.environ)
    with process.signals_as_errors():
        code = trends.print_latency(check, where, limits, Voice(environ=chosen.environ))
    raise typer.Exit(code)


@app.command("status-page")
def status_page(
    *,
    out: Annotated[Path, option("FOLDER", "Write it into this folder.", "--out")],
    folder: Folder = None,
    branch: Branch = None,
    title: Annotated[str | None, option("TEXT", "The title of the page.")] = None,
) -> None:
    """Write a status page: static files with the state and the past of every target.

    Example: testbay status-page --branch testbay-history --out site
    """
    from testbay.production import statuspage
    from testbay.production.history import command as trends

    chosen = configuration.load()
    now = datetime.now(UTC)
    with process.signals_as_errors():
        page = statuspage.make(trends.place(folder, branch, chosen.environ).read(now), now, out, title)
    Voice(environ=chosen.environ).say(f"{out / 'index.html'}: {page.headline}")


@app.command()
def metrics(
    report: ReportFile,
    to: Annotated[Path | None, option("FILE", "Write this file, NAME.prom, for node_exporter.", "--to")] = None,
    push: Annotated[str | None, option("URL", "Push to this Pushgateway.", "--push")] = None,
    folder: Folder = None,
    branch: Branch = None,
) -> None:
    """Write what a report of checks found, and when the last good run was, as metrics for Prometheus.

    Example: testbay metrics report.json --branch testbay-history --push http://127.0.0.1:9091
    """
    from testbay.production import extra
    from testbay.production import metrics as measured
    from testbay.production.history import command as trends

    extra.demand("testbay metrics", extra.METRICS)
    chosen = configuration.load()
    where = trends.place(folder, branch, chosen.environ)
    voice = Voice(environ=chosen.environ)
    if to and push:
        raise typer.BadParameter("say --to FILE.prom or --push URL, one of the two")
    with errors_aside(when=not to and not push), process.signals_as_errors():
        run = measured.run_of(measured.read(report, Path.cwd(), chosen.environ), where)
        if to:
            measured.write(run, to, voice)
        if push:
            measured.push(run, push, chosen.environ, voice)
        if not to and not push:
            voice.say(measured.printed(run).rstrip())
