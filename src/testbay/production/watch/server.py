"""The live page: status, checks, incidents, metrics, badges and a feed, served by the watcher."""

import asyncio
import errno
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from testbay.errors import EngineUnavailableError
from testbay.production.statuspage import wording
from testbay.production.watch import exposition, facts, view
from testbay.production.watch.beats import CALLS, Jobs
from testbay.production.watch.cycle import Cycle
from testbay.production.watch.facts import CheckState, worst
from testbay.production.watch.watcher import Watcher
from testbay.text import one_line, plural

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}
WORDS = {**wording.IS, "skip": "skipped"}
_COLOURS = {"pass": "#1b6e41", "fail": "#b3261e", "stale": "#855000", "error": "#2a5da8"}
_GREY = "#5a6067"
_MOST_TEXT = 2000
_MOST_SILENT_S = 60.0
Answer = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(kw_only=True)
class LivePage:
    """Serves the watcher's state over HTTP. Only calls of jobs change anything."""

    watcher: Watcher
    cycle: Cycle
    jobs: Jobs
    _runner: web.AppRunner | None = field(default=None)

    @property
    def _folder(self) -> Path:
        return self.cycle.recorder.store.folder

    @property
    def _now(self) -> float:
        return self.cycle.recorder.clock()

    @property
    def _title(self) -> str:
        services = list(self.watcher.wishes)
        return f"{services[0]} status" if len(services) == 1 else "Status"

    async def start(self, host: str, port: int) -> str:
        """Start serving; return the address.

        Raises:
            EngineUnavailableError: The address is taken, or not this machine's.
        """
        app = web.Application(client_max_size=64 << 10)
        for path, answer in {
            "/": self._index,
            "/history": self._history,
            "/check/{service}/{target:[^/]*}/{check:.+}": self._check,
            "/api/checks": self._checks,
            "/api/incidents": self._incidents,
            "/api/report/{service}/{target:[^/]*}": self._report,
            "/metrics": self._metrics,
            "/badge.svg": self._badge,
            "/badge/{service}/{target:[^/]*}/{check:.+}.svg": self._badge,
            "/incidents.atom": self._feed,
            "/health": self._health,
        }.items():
            app.router.add_get(path, self._headed(answer))
        for path in ("/beat/{name}/{token}", "/beat/{name}/{token}/{call}"):
            app.router.add_route("*", path, self._headed(self._beat))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            is_taken = error.errno == errno.EADDRINUSE
            raise EngineUnavailableError(
                f"--listen: {_place(host, port)} cannot be used",
                why=error.strerror or str(error),
                todo="name another port" if is_taken else "name an address of this machine, such as 127.0.0.1:8090",
            ) from None
        found = self._runner.addresses[0]
        return f"http://{_place(*found[:2])}/"

    async def stop(self) -> None:
        """Finish the requests under way, and stop."""
        if self._runner:
            await self._runner.cleanup()

    def _headed(self, answer: Answer) -> Answer:
        async def handler(request: web.Request) -> web.Response:
            try:
                response = await answer(request)
            except sqlite3.Error as error:
                response = web.Response(text=f"the history cannot be used: {error}\n", status=503)
            response.headers.update(_HEADERS)
            return response

        return handler

    def _stands(self) -> list[CheckState]:
        return list(facts.check_states(self.watcher, self._now))

    def _found(self, request: web.Request) -> CheckState | None:
        info = request.match_info
        wanted = (info["service"], info["target"], info["check"], request.query.get("each", ""))
        return next((one for one in self._stands() if tuple(one.series) == wanted), None)

    async def _index(self, _request: web.Request) -> web.Response:
        every = self._stands()
        targets: dict[str, list[CheckState]] = {}
        for one in every:
            name = f"{one.series.service} on {one.series.target}" if one.series.target else one.series.service
            targets.setdefault(name, []).append(one)
        known = {
            "title": self._title,
            "state": worst(every),
            "headline": _headline(every),
            "now": self._now,
            "trouble": self._trouble(),
            "targets": list(targets.items()),
            "incidents": await self._newest(),
        }
        return await _html("live.html", known)

    async def _newest(self) -> list[view.IncidentView]:
        return await asyncio.to_thread(view.incidents, self._folder)

    def _trouble(self) -> str:
        tally = self.cycle.recorder.tally
        if tally.store_trouble:
            return f"The history cannot be written: {one_line(tally.store_trouble)}. This page shows what is in memory."
        return f"{plural(tally.untold, 'message')} could not be sent yet." if tally.untold else ""

    async def _check(self, request: web.Request) -> web.Response:
        current = self._found(request)
        if current is None:
            return web.Response(text="no such check is watched\n", status=404)
        shown = await asyncio.to_thread(view.check, self._folder, current, self._now)
        return await _html("check.html", {"view": shown})

    async def _history(self, _request: web.Request) -> web.Response:
        made = await asyncio.to_thread(view.files, self._folder, self._now)
        return web.Response(text=made["index.html"], content_type="text/html")

    async def _checks(self, _request: web.Request) -> web.Response:
        return _json(facts.checks(self.watcher, self._now))

    async def _report(self, request: web.Request) -> web.Response:
        info = request.match_info
        found = facts.report(self.watcher, info["service"], info["target"], self._now)
        if found is None:
            return web.Response(text="no such target is watched\n", status=404)
        return web.Response(text=found.as_json(), content_type="application/json")

    async def _incidents(self, _request: web.Request) -> web.Response:
        incidents = [
            {**asdict(one.incident), "state": one.word, "lines": [asdict(line) for line in one.lines]}
            for one in await self._newest()
        ]
        return _json({"version": 1, "incidents": incidents})

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = exposition.exposition(self.watcher, self._now)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _badge(self, request: web.Request) -> web.Response:
        label, state = self._title, worst(self._stands())
        if "check" in request.match_info:
            one = self._found(request)
            label, state = (one.series.check, one.state) if one else ("check", "unknown")
        drawn = {"label": label[:60], "text": WORDS[state], "colour": _COLOURS.get(state, _GREY)}
        return web.Response(text=view.html("badge.svg", drawn), content_type="image/svg+xml")

    async def _feed(self, request: web.Request) -> web.Response:
        incidents = await self._newest()
        updated = max((one.incident.closed or one.incident.opened for one in incidents), default=self._now)
        known = {
            "root": f"{request.scheme}://{request.host}/",
            "title": self._title,
            "incidents": incidents,
            "updated": updated,
        }
        return web.Response(text=view.html("feed.xml", known), content_type="application/atom+xml")

    async def _health(self, _request: web.Request) -> web.Response:
        if self.cycle.recorder.tally.store_trouble:
            return web.Response(text="the history cannot be written\n", status=503)
        if (silent_s := self.cycle.recorder.tally.unjudged_s) > _MOST_SILENT_S:
            said = f"nothing was judged for {silent_s:.0f} s: does the disk of the history hang?\n"
            return web.Response(text=said, status=503)
        return web.Response(text="ok\n")

    async def _beat(self, request: web.Request) -> web.Response:
        info = request.match_info
        call = info.get("call", "ok")
        if request.method not in ("GET", "POST", "HEAD"):
            return web.Response(text="call with GET or POST\n", status=405)
        if not self.jobs.may_call(info["name"], info["token"]):
            return web.Response(text="no such job, or another token\n", status=404)
        if call not in CALLS:
            return web.Response(text=f"end with one of: {', '.join(CALLS)}\n", status=404)
        said = one_line(await _beginning(request), _MOST_TEXT) if request.method == "POST" else ""
        recorder = self.cycle.recorder
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.cycle.keeper, recorder.store.beat, info["name"], self._now, call, said)
        return web.Response(text="heard\n")


async def _html(name: str, known: dict[str, Any]) -> web.Response:
    text = await asyncio.to_thread(view.html, name, {"root": "/", "words": WORDS, **known})
    return web.Response(text=text, content_type="text/html")


def _json(found: Any) -> web.Response:
    return web.Response(text=json.dumps(found, indent=1) + "\n", content_type="application/json")


def _headline(every: list[CheckState]) -> str:
    bad = [one for one in every if one.state not in ("pass", "skip")]
    if not bad:
        return "All checks are passing" if any(one.state == "pass" for one in every) else "No data yet"
    state = worst(bad)
    count = sum(one.state == state for one in bad)
    if state == "unknown":
        return f"No data on {plural(count, 'check')}"
    words = {"fail": "failing", "stale": "answered by an old build", "error": "impossible to ask"}
    return f"{count} of {plural(len(every), 'check')} {'is' if count == 1 else 'are'} {words[state]}"


async def _beginning(request: web.Request) -> str:
    """Read the beginning of a request's body: a job may send a whole log, in any encoding, or what is broken."""
    try:
        raw = await request.content.readexactly(4 * _MOST_TEXT)
    except asyncio.IncompleteReadError as error:
        raw = error.partial
    except web.RequestPayloadError:  # the call counts all the same
        raw = b""
    return raw.decode(errors="replace")[:_MOST_TEXT]


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
