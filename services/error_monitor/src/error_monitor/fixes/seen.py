"""The first rung: whether a pattern is worth a fix at all."""

from collections.abc import Mapping, Sequence
from typing import Any

from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.store import MOST_INTERRUPTED


def refusal(pattern: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], settings: FixSettings) -> str:
    """The reason why there is no fix for a pattern now, or nothing."""
    if pattern["state"] not in ("open", "regressed"):
        return f"the pattern is {pattern['state']}"
    if pattern["severity"] not in ("high", "critical"):
        return f"the severity is {pattern['severity']}: only high and critical patterns are fixed"
    if not pattern["fixable"]:
        return "a change of the code cannot stop it"
    if not pattern["frame"]:
        return "no frame of the application is known"
    if pattern["events"] < settings.seen_least or pattern["scans"] < settings.scans_least:
        return (
            f"seen {pattern['events']} times in {pattern['scans']} scans:"
            f" {settings.seen_least} times in {settings.scans_least} scans are wanted"
        )
    return _barred(earlier, settings)


def _barred(earlier: Sequence[Mapping[str, Any]], settings: FixSettings) -> str:
    for fix in earlier:
        if reason := _bars(fix, settings):
            return reason
    if sum(fix["state"] == "interrupted" for fix in earlier) >= MOST_INTERRUPTED:
        return f"{MOST_INTERRUPTED} fixes broke off at this commit"
    return ""


def _bars(fix: Mapping[str, Any], settings: FixSettings) -> str:
    """Say why one earlier fix bars another; empty when it does not."""
    name = f"fix {fix['fix_id']}"
    living = {
        "working": f"{name} is being worked on",
        "proven": f"{name} is being worked on",
        "opened": f"pull request {fix['pull_number']} of {name} is open",
        "merged": f"{name} is merged, and not judged yet",
        "closed": f"pull request {fix['pull_number']} was closed by a person at this commit",
    }
    if fix["state"] == "refused" and fix["rung"] > 2:
        return f"{name} was refused at this commit: {fix['reason'][:200]}"
    if fix["state"] == "dry" and not settings.enabled:
        return f"{name} is proven at this commit; AUTO_FIX_ENABLED publishes"
    return living.get(fix["state"], "")
