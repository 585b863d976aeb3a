"""The status page: static files with the present and past state of each target, from the history of its checks."""

import json
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError, remedy
from testbay.files import write_whole
from testbay.production.history.entries import Entry, History
from testbay.production.statuspage import wording
from testbay.production.statuspage.boards import STATES, Board, name_of
from testbay.production.statuspage.page import Page, draw, headline
from testbay.text import plural

_HERE = Path(__file__).parent
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+)(?::\d+)?(?:/[!-~]*)?")
_LISTED = 1000


def make(known: History, now: datetime, folder: Path, title: str | None) -> Page:
    """Write `index.html`, `status.json` and `badge.svg` into a folder, which is created if need be.

    The same history and time give the same bytes.

    Raises:
        ManifestError: A file cannot be written.
    """
    page = draw(known, now.astimezone(UTC).replace(microsecond=0), title)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in render(page).items():
            write_whole(folder / name, text)
    except OSError as error:
        raise ManifestError(
            f"{folder}: the status page cannot be written",
            why=str(error.strerror),
            todo=remedy(error, "name a folder for it alone"),
        ) from None
    return page


def render(page: Page) -> dict[str, str]:
    """Render the content of the files, by their names."""
    from testbay import pages

    environment = pages.environment(_HERE)
    environment.filters |= {
        "when": wording.when,
        "lasting": wording.length,
        "roughly": wording.roughly,
        "plural": plural,
        "link": _link,
        "short": lambda text: name_of(text)[:12],
    }
    environment.globals |= {"IS": wording.IS, "FOUND": wording.FOUND, "headline": headline}
    style, script = (environment.get_template(part).render() for part in ("page.css", "page.js"))
    facts: dict[str, Any] = {
        "page": page,
        "version": metadata.version("testbay"),
        "script": script,
        "policy": pages.policy(style, script),
    }
    return {
        "index.html": environment.get_template("page.html").render(facts),
        "badge.svg": environment.get_template("badge.svg").render(facts),
        "status.json": _as_json(page),
    }


def _link(entry: Entry) -> str:
    """Return the host of a run's address; empty if browsers could disagree about the host."""
    found = _ADDRESS.fullmatch(entry.run_url)
    return found[1] if found else ""


def _as_json(page: Page) -> str:
    """Serialise the state of the targets for programs."""
    facts = {
        "version": 1,
        "made": page.now.isoformat(),
        "state": page.state,
        "headline": page.headline,
        "targets": [_target(section.board) for section in page.sections],
    }
    return json.dumps(facts, indent=1) + "\n"


def _target(board: Board) -> dict[str, Any]:
    return {
        "service": board.newest.service,
        "target": board.newest.target,
        "state": board.state,
        "is_late": board.is_late,
        "newest_run": board.newest.moment.isoformat(),
        "last_good_run": board.last_good.moment.isoformat() if board.last_good else None,
        "checks": {check.name: check.state for check in board.having(*STATES)[:_LISTED]},
    }
