"""The page for people: plain HTML that needs no script, every text of a log escaped."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from error_monitor.api import overview
from error_monitor.api.access import PREFIX, Guarded, of, reader
from error_monitor.api.routes import Filters
from error_monitor.patterns.queries import ORDERS

router = APIRouter(prefix=PREFIX, route_class=Guarded, include_in_schema=False)

_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEIGHT, _STEP = 24, 4


@router.get("")
async def without_slash(request: Request) -> Response:
    """The page's own address ends with a slash."""
    return RedirectResponse(request.url.path + "/")


@router.get("/", dependencies=[Depends(reader)])
async def page(request: Request, asked: Annotated[Filters, Query()]) -> Response:
    """Everything at a glance, the new patterns first."""
    found = await overview.dashboard(of(request), asked.wanted())
    text = _TEMPLATE.render(
        found,
        style=Markup(_STYLE),  # noqa: S704 -- our own file, not a text from outside
        asked=asked,
        orders=ORDERS,
        now=datetime.now(UTC),
        page=_pager(asked, found["total"]),
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"})


def _pager(asked: Filters, total: int) -> dict[str, str]:
    """Addresses of the pages before and after this one."""
    given = asked.model_dump(exclude_none=True, exclude_defaults=True, mode="json")
    links = {"before": "", "after": ""}
    if asked.offset:
        links["before"] = "?" + urlencode(given | {"offset": max(0, asked.offset - asked.limit)})
    if asked.offset + asked.limit < total:
        links["after"] = "?" + urlencode(given | {"offset": asked.offset + asked.limit})
    return links


def bars(hours: Sequence[int]) -> list[dict[str, int]]:
    """A bar for each hour; an hour with one event among thousands still shows."""
    most = max(hours, default=0)
    heights = [max(2, round(_HEIGHT * count / most)) if count else 0 for count in hours]
    return [{"x": at * _STEP, "y": _HEIGHT - high, "height": high} for at, high in enumerate(heights) if high]


def ago(moment: datetime | None, now: datetime) -> str:
    """Say how long ago a moment was, in the largest unit that is exact enough."""
    if moment is None:
        return "never"
    seconds = max(0, (now - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"


def visible(text: str) -> str:
    """A text in which what cannot be seen, or would turn the text around it, is shown by its number."""
    return "".join(one if one.isprintable() or one in " \t" else f"\\u{ord(one):04x}" for one in text)


def lines(example: Sequence[str]) -> str:
    """The lines of an event, one below the other."""
    return "\n".join(visible(one) for one in example)


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    filters: Mapping[str, Any] = {"bars": bars, "ago": ago, "visible": visible, "lines": lines}
    made.filters.update(filters)
    return made


_TEMPLATE = _environment().get_template("page.html")
