"""The arguments of `testbay history`, `testbay latency`, `testbay status-page` and `testbay metrics`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from testbay import process
from testbay import settings as configuration
from testbay.output import Voice

Branch = Annotated[
    str | None,
    typer.Option("--branch", metavar="NAME", help="The history is on this branch of origin.", show_default=False),
]
Folder = Annotated[
    Path | None,
    typer.Option("--history", metavar="FOLDER", help="The history is in this folder.", show_default=False),
]


def history(
    report: Annotated[Path, typer.Argument(help="What testbay check --json wrote; - for standard input.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Keep it in this folder.", show_default=False)
    ] = None,
    branch: Branch = None,
) -> None:
    """Add a report of checks to their history, in .testbay/history or where you say.

    Example: testbay history report.json --branch testbay-history
    """
    from testbay.production.history import command as trends

    chosen = configuration.load()
    with process.signals_as_errors():
        trends.record(report, trends.place(to, branch, chosen.environ), Voice(environ=chosen.environ))


def latency(
    check: Annotated[
        str | None, typer.Argument(help="A check's id; every check in a line if left out.", show_default=False)
    ] = None,
    folder: Folder = None,
    branch: Branch = None,
    slower_than: Annotated[
        str | None,
        typer.Option(metavar="20%", help="By how much slower counts, whatever the manifest says.", show_default=False),
    ] = None,
    hard_ms: Annotated[
        float | None, typer.Option(help="The newest run may not take longer, whatever was before.", show_default=False)
    ] = None,
) -> None:
    """Say whether a check has become slower than it was, and what that rests on.

    Example: testbay latency health --branch testbay-history
    """
    from testbay.production.history import command as trends

    chosen = configuration.load()
    limits = trends.limits(Path.cwd(), slower_than=slower_than, hard_ms=hard_ms)
    where = trends.place(folder, branch, chosen.environ)
    with process.signals_as_errors():
        code = trends.tell(check, where, limits, Voice(environ=chosen.environ))
    raise typer.Exit(code)


def status_page(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Write it into this folder.")],
    folder: Folder = None,
    branch: Branch = None,
    title: Annotated[str | None, typer.Option(help="What stands above it.", show_default=False)] = None,
) -> None:
    """Write a status page: static files that say how every target is, how it was, and when it was asked.

    Example: testbay status-page --branch testbay-history --out site
    """
    from testbay.production import statuspage
    from testbay.production.history import command as trends

    chosen = configuration.load()
    now = datetime.now(UTC)
    with process.signals_as_errors():
        page = statuspage.make(trends.place(folder, branch, chosen.environ).read(now), now, out, title)
    Voice(environ=chosen.environ).say(f"{out / 'index.html'}: {page.headline}")


def metrics(
    report: Annotated[Path, typer.Argument(help="What testbay check --json wrote; - for standard input.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write this file, NAME.prom, for node_exporter.", show_default=False),
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="URL", help="Push to this Pushgateway.", show_default=False)
    ] = None,
    folder: Folder = None,
    branch: Branch = None,
) -> None:
    """Say in Prometheus' format what a report of checks found, and when the last good run was.

    Example: testbay metrics report.json --branch testbay-history --push http://127.0.0.1:9091
    """
    from testbay.production import extra
    from testbay.production import metrics as measured
    from testbay.production.history import command as trends

    extra.demand("testbay metrics", extra.METRICS)
    chosen = configuration.load()
    where = trends.place(folder, branch, chosen.environ)
    voice = Voice(environ=chosen.environ)
    if (to is None) == (push is None):
        raise typer.BadParameter("say --to FILE.prom or --push URL, one of the two")
    with process.signals_as_errors():
        run = measured.run_of(measured.read(report, Path.cwd(), chosen.environ), where)
        if to:
            measured.write(run, to, voice)
        if push:
            measured.push(run, push, chosen.environ, voice)


COMMANDS: dict[str, Callable[..., None]] = {
    "history": history,
    "latency": latency,
    "status-page": status_page,
    "metrics": metrics,
}
