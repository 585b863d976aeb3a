"""Railway, by its public GraphQL API: the logs of an environment's deployments."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from error_monitor import tls
from error_monitor.settings import Railway, Settings
from error_monitor.sources.records import SourceError, Stream
from error_monitor.sources.timeline import SECOND_NS, Entry, Limits, Timeline
from error_monitor.sources.web import answer_of

_DEPLOYMENTS = """query deployments($input: DeploymentListInput!, $first: Int) {
  deployments(input: $input, first: $first) { edges { node { id serviceId status createdAt } } }
}"""
_LOGS = """query logs($deploymentId: String!, $startDate: DateTime, $endDate: DateTime, $limit: Int) {
  deploymentLogs(deploymentId: $deploymentId, startDate: $startDate, endDate: $endDate, limit: $limit) {
    timestamp message severity
  }
}"""
_ALIVE = ("SUCCESS", "CRASHED", "DEPLOYING", "SLEEPING", "REMOVING", "REMOVED", "FAILED")
_NEWEST = 20
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class RailwaySource:
    """A stream for each of the newest deployments: an old one may still be writing while the new one starts."""

    name = "railway"

    def __init__(self, settings: Settings, railway: Railway) -> None:
        # A project's token has a header of its own; that of an account or team is a bearer token. Both are tried.
        self._headers = [{"Project-Access-Token": railway.token}, {"Authorization": f"Bearer {railway.token}"}]
        self._railway = railway
        self._client = httpx.AsyncClient(timeout=settings.source_timeout_s, verify=tls.verify(railway.url))
        self._limits = Limits(
            cap=railway.limit,
            grain_ns=1_000_000,
            lookback_ns=int(settings.lookback_s * SECOND_NS),
            lag_ns=int(settings.settle_s * SECOND_NS),
        )

    async def streams(self) -> Sequence[Stream]:
        """The deployments that write, or did lately."""
        wanted = {"environmentId": self._railway.environment_id, "status": {"in": list(_ALIVE)}}
        inputs = [wanted | {"serviceId": one} for one in self._railway.service_ids] or [wanted]
        found: list[Stream] = []
        for each in inputs:
            data = await self._ask(_DEPLOYMENTS, {"input": each, "first": _NEWEST})
            try:
                nodes = [edge["node"] for edge in data["deployments"]["edges"]]
                found += [self._stream(str(node["id"]), str(node["serviceId"] or "railway")) for node in nodes]
            except (KeyError, TypeError) as exc:
                raise SourceError("Railway's answer is not a list of deployments") from exc
        return found

    async def close(self) -> None:
        await self._client.aclose()

    def _stream(self, deployment: str, service: str) -> Timeline:
        async def fetch(start_ns: int, end_ns: int) -> Sequence[Entry]:
            variables = {
                "deploymentId": deployment,
                "startDate": _date(start_ns),
                "endDate": _date(end_ns),
                "limit": self._railway.limit,
            }
            data = await self._ask(_LOGS, variables)
            try:
                return [_entry(one, deployment, service) for one in data["deploymentLogs"]]
            except (KeyError, TypeError, ValueError) as exc:
                raise SourceError("Railway's answer is not a list of lines") from exc

        return Timeline(f"railway:{deployment}", fetch, self._limits)

    async def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        said = ""
        for headers in list(self._headers):
            status, body = await answer_of(
                "Railway",
                self._client,
                "POST",
                self._railway.url,
                headers=headers,
                json={"query": query, "variables": variables},
            )
            try:
                document = json.loads(body)
                errors, data = document.get("errors"), document.get("data")
            except (ValueError, AttributeError, RecursionError) as exc:
                raise SourceError(f"Railway answers {status} with something other than JSON") from exc
            if not errors and isinstance(data, dict):
                self._headers = [headers]  # the one that is right
                return data
            said = " ".join(str(errors)[:300].split())
            if "Not Authorized" not in said:
                break
        raise SourceError(f"Railway answers with an error: {said}")


def _date(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _entry(log: dict[str, Any], deployment: str, service: str) -> Entry:
    return Entry(time_ns=nanoseconds(log["timestamp"]), origin=deployment, service=service, text=str(log["message"]))


def nanoseconds(text: str) -> int:
    """RFC 3339 with up to nine digits, which datetime cuts to six; Podman writes the machine's own zone."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    seconds = int(datetime.fromisoformat(found[1] + (found[3] or "Z")).timestamp())
    return seconds * SECOND_NS + int((found[2] or "0")[:9].ljust(9, "0"))
