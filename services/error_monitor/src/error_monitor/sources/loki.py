"""Grafana Loki, by its HTTP API: `query_range` has no pages, answers with 5 000 lines at most and excludes the end."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from error_monitor import tls
from error_monitor.settings import Loki, Settings
from error_monitor.sources import services
from error_monitor.sources.records import SourceError, Stream
from error_monitor.sources.timeline import SECOND_NS, Entry, Limits, Timeline, TooMuchError
from error_monitor.sources.web import answer_of

_SERVICE_LABELS = ("service_name", "service", "app", "container", "job")
_TOO_MUCH = ("max entries limit", "query time range exceeds", "too many outstanding", "max_query", "timeout")


class LokiSource:
    """One query, as one stream; each set of labels is an origin."""

    name = "loki"

    def __init__(self, settings: Settings, loki: Loki) -> None:
        headers = {"X-Scope-OrgID": loki.tenant} if loki.tenant else {}
        if loki.token:
            headers["Authorization"] = f"Bearer {loki.token}"
        self._loki = loki
        self._client = httpx.AsyncClient(
            base_url=loki.url, headers=headers, timeout=settings.source_timeout_s, verify=tls.verify(loki.url)
        )
        self._limits = Limits(
            cap=loki.limit,
            grain_ns=1,
            lookback_ns=int(settings.lookback_s * SECOND_NS),
            lag_ns=int(settings.settle_s * SECOND_NS),
        )

    async def streams(self) -> Sequence[Stream]:
        """List the one stream."""
        key = f"loki:{self._loki.url}:{self._loki.tenant}:{self._loki.query}"
        return [Timeline(key, self._fetch, self._limits)]

    async def close(self) -> None:
        await self._client.aclose()

    async def _fetch(self, start_ns: int, end_ns: int) -> Sequence[Entry]:
        params = {
            "query": self._loki.query,
            "start": str(start_ns),
            "end": str(end_ns),
            "limit": str(self._loki.limit),
            "direction": "forward",
        }
        status, body = await answer_of("Loki", self._client, "GET", "/loki/api/v1/query_range", params=params)
        if status != httpx.codes.OK:
            said = " ".join(body[:300].decode("utf-8", "replace").split())
            if status in (400, 422, 500, 504) and any(word in said.lower() for word in _TOO_MUCH):
                raise TooMuchError(said)
            raise SourceError(f"Loki answers {status}: {said}")
        return _entries(body)


def _entries(body: bytes) -> list[Entry]:
    try:
        document = json.loads(body)
        data = document["data"]
        if document["status"] != "success" or data["resultType"] != "streams":
            raise SourceError(f"Loki answers with {data['resultType']!r}: LOKI_QUERY must select lines, not count them")
        return [entry for stream in data["result"] for entry in _stream(stream)]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise SourceError("Loki's answer is not a list of streams") from exc


def _stream(stream: Mapping[str, Any]) -> list[Entry]:
    labels: Mapping[str, str] = stream["stream"]
    service = services.plain(next((str(labels[name]) for name in _SERVICE_LABELS if labels.get(name)), "loki"))
    origin = json.dumps(labels, sort_keys=True)
    values: Sequence[Sequence[Any]] = stream["values"]
    return [Entry(time_ns=int(at[0]), origin=origin, service=service, text=str(at[1])) for at in values]
