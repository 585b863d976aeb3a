"""The commands of the running monitor: serve, scan, import, migrate."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from error_monitor.reading.text import packed
from error_monitor.settings import Settings


def add(commands: Any) -> None:
    """Add the commands to the parser's subcommands."""
    serve = commands.add_parser("serve", help="scan every interval, and answer HTTP")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=_port(), help="default: PORT, else 8080")
    serve.set_defaults(run=_serve)
    scan = commands.add_parser("scan", help="scan once and end, for cron")
    scan.set_defaults(run=_scan)
    bring = commands.add_parser("import", help="store the errors of a finished log file, once")
    bring.add_argument(
        "files", nargs="+", type=Path, help="log files; one that was imported before is not counted again"
    )
    bring.add_argument("--service", default="", help="the service that wrote it (default: the file's name)")
    bring.set_defaults(run=_import)
    health = commands.add_parser(
        "health", help="ask a monitor on this machine how it is, for a container's health check"
    )
    health.add_argument("--port", type=int, default=_port(), help="default: PORT, else 8080")
    health.set_defaults(run=_health)
    report = commands.add_parser("report", help="the patterns as a report for `testbay incidents`")
    report.add_argument("--severity", action="append", choices=["critical", "high", "medium", "low"], default=[])
    report.add_argument("--quiet-after-s", type=float, default=86400.0, help="a pattern not seen for so long passes")
    report.set_defaults(run=_report)
    migrate = commands.add_parser("migrate", help="make the tables in DATABASE_URL, or bring them up to date")
    migrate.set_defaults(run=_migrate)


def _port() -> int:
    given = os.environ.get("PORT", "")
    return int(given) if given.isascii() and given.isdigit() else 8080


def _health(args: argparse.Namespace) -> int:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"http://127.0.0.1:{args.port}/error-monitor/health", timeout=8) as response:
            return 0 if response.status == 200 else 1
    except (URLError, OSError) as exc:
        return _say(f"error-monitor: not healthy: {exc}", 1)


def _serve(args: argparse.Namespace) -> int:
    import gc

    gc.disable()  # what is loaded now lives as long as the process: collections need not look through it
    import uvicorn

    from error_monitor.app import create_app

    gc.freeze()
    gc.enable()
    uvicorn.run(create_app(), host=args.host, port=args.port, log_config=None, access_log=False, ws="none")
    return 0


def _scan(_: argparse.Namespace) -> int:
    settings = Settings.from_env()
    settings.check_scanning()
    return _print_result(asyncio.run(_once(settings, None, "")))


def _import(args: argparse.Namespace) -> int:
    missing = [str(file) for file in args.files if not file.is_file()]
    if missing:
        return _say(f"error-monitor import: no such file: {', '.join(missing)}", 2)
    if why := next(filter(None, map(packed, args.files)), ""):
        return _say(f"error-monitor import: {why}", 2)
    return _print_result(asyncio.run(_once(_with_database(), args.files, args.service)))


def _report(args: argparse.Namespace) -> int:
    from error_monitor.report import as_json, report

    work = report(_with_database(), args.severity or ["critical", "high"], args.quiet_after_s)
    found = asyncio.run(_safely(work))
    if "failed" in found:
        return _print_result(found)
    sys.stdout.write(as_json(found) + "\n")
    return 0


def _migrate(_: argparse.Namespace) -> int:
    from error_monitor.migrate import migrate

    return _print_result(asyncio.run(_safely(migrate(_with_database()))))


def _with_database() -> Settings:
    settings = Settings.from_env()
    settings.check_database()
    return settings


async def _once(settings: Settings, files: Sequence[Path] | None, service: str) -> dict[str, Any]:
    from error_monitor import logs
    from error_monitor.scanning.once import scan_once

    logs.configure(settings.log_level)
    return await _safely(scan_once(settings, files, service))


async def _safely(work: Any) -> dict[str, Any]:
    """The result of the work, or what kept it from being done."""
    from error_monitor.database import AWAY, NO_TABLES, NOT_MIGRATED
    from error_monitor.scanning.lease import LeaseLostError

    try:
        found: dict[str, Any] = await work
    except NOT_MIGRATED:
        return {"failed": NO_TABLES}
    except LeaseLostError as exc:
        return {"failed": str(exc)}
    except AWAY as exc:
        return {"failed": f"the database is away: {type(exc).__name__}"}
    return found


def _print_result(found: dict[str, Any]) -> int:
    if "failed" in found:
        return _say(f"error-monitor: {found['failed']}", 1)
    sys.stdout.write(json.dumps(found, default=str) + "\n")
    return 3 if found.get("errors") else 0


def _say(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code
