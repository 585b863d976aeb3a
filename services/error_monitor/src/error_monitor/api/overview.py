"""The state of things: health, status, and everything that the page shows."""

from typing import Any

from error_monitor import __version__
from error_monitor.monitor import Monitor
from error_monitor.patterns.queries import Wanted

_LIVE_S = 60.0


async def health(monitor: Monitor) -> dict[str, Any]:
    """Healthy, degraded (something is not read) or unhealthy (nothing can be stored)."""
    trouble = await monitor.trouble()
    problems = [trouble] if trouble else await _problems(monitor)
    state = "unhealthy" if trouble else "degraded" if problems else "healthy"
    return {
        "status": state,
        "version": __version__,
        "enabled": monitor.settings.enabled,
        "running": monitor.loop.is_running,
        "leader": monitor.loop.fence is not None,
        "problems": len(problems),
    }


async def status(monitor: Monitor) -> dict[str, Any]:
    """The loop of this instance, the sources, all instances, and the gaps."""
    name = monitor.settings.monitor
    summary = await monitor.queries.summary()
    gaps, gaps_total = await monitor.queries.gaps(10)
    instances = await monitor.queries.instances(name, max(_LIVE_S, monitor.settings.heartbeat_s * 4))
    events = sum(row["events"] for row in summary)
    return {
        "enabled": monitor.settings.enabled,
        "running": monitor.loop.is_running,
        "auto_fix_enabled": monitor.settings.fixes.enabled,
        "scan_interval": monitor.settings.interval_s,
        "last_scan": await monitor.queries.last_scan(name),
        "errors_since_last_fix": await monitor.fixer.ladder.questions.events_since_last_fix(),
        "total_patterns": sum(row["patterns"] for row in summary),
        "total_events": events,
        "monitor": name,
        "version": __version__,
        "sources": await _sources(monitor),
        "gaps": {"total": gaps_total, "newest": gaps},
        "leader": next((one["instance"] for one in instances if one["is_leader"]), None),
        "instances": instances,
        "instance": str(monitor.loop.instance),
        "error": monitor.loop.error,
        "problems": await _problems(monitor),
        "by": summary,
    }


async def dashboard(monitor: Monitor, wanted: Wanted) -> dict[str, Any]:
    """The patterns that are wanted with their last 24 hours, and the state of things."""
    rows, total = await monitor.queries.patterns(wanted)
    hours = await monitor.queries.hours([row["fingerprint"] for row in rows])
    questions = monitor.fixer.ladder.questions
    fixes, fixes_total = await questions.fixes(10)
    return {
        "status": await status(monitor),
        "fixes": {"total": fixes_total, "newest": fixes, **await questions.overview(monitor.settings.fixes.budget)},
        "total": total,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "services": await monitor.queries.services(),
        "patterns": [{**row, "hours": hours[row["fingerprint"]]} for row in rows],
    }


async def _sources(monitor: Monitor) -> list[dict[str, Any]]:
    """List the sources that are set up, each with the outcome of its last read."""
    stored = {row["source"]: row for row in await monitor.queries.sources(monitor.settings.monitor)}
    empty = {"failures": 0, "error": "", "ok_at": None, "failed_at": None, "next_try_at": None}
    return [{**empty, **stored.get(one.name, {}), "source": one.name} for one in monitor.sources]


async def _problems(monitor: Monitor) -> list[str]:
    """Everything that keeps counts from being complete, in words."""
    settings, loop = monitor.settings, monitor.loop
    problems = [f"{one['source']}: {one['error']}" for one in await _sources(monitor) if one["failures"]]
    if why := settings.without_source():
        problems.append(why)
    if loop.error:
        problems.append(loop.error)
    if settings.enabled and not loop.is_running:
        problems.append("the loop has ended")
    instances = await monitor.queries.instances(settings.monitor, max(_LIVE_S, settings.heartbeat_s * 4))
    if others := sorted({one["host"] for one in instances if one["reads"] != settings.reads}):
        problems.append(
            f"instances with other sources share the name {settings.monitor!r} ({', '.join(others)[:200]}):"
            " give each set of sources its own ERROR_MONITOR_NAME"
        )
    return problems
