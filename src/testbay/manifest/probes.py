"""The check tables other than HTTP: TCP ports, certificates, DNS names, heartbeats, database servers."""

import ipaddress
import re
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from testbay.manifest.checkbase import DEPLOYED, CheckBase, Phase, check_names, check_placeholders
from testbay.manifest.expressions import parse
from testbay.manifest.fields import ADDRESS, HOST_PORT, VARIABLE, Condition, Duration

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/""", re.DOTALL)  # in SQL
REDIS_READS = frozenset(
    (
        *("PING", "GET", "EXISTS", "TTL", "LLEN", "SCARD", "ZCARD", "HLEN", "HGET", "STRLEN", "DBSIZE", "XLEN"),
        *("TYPE", "TIME"),
    )
)


class _Probe(CheckBase):
    """The base of checks that only make sense for a deployment; `names` are those that its conditions may use."""

    names: ClassVar[frozenset[str]]
    usual: ClassVar[list[Phase]] = DEPLOYED
    expect: list[Condition] = []

    @model_validator(mode="after")
    def _knows_its_names(self) -> Self:
        check_names(self.expect, self.names)
        return self


class TcpCheck(_Probe):
    """A check that a port accepts connections; with `send`, or a condition on `text`, also of what it answers."""

    names: ClassVar = frozenset({"response_ms", "ip", "text", "run", "expected_sha"})
    kind: Literal["tcp"]
    connect: str = Field(pattern=HOST_PORT)
    send: str | None = Field(default=None, max_length=4096)

    @model_validator(mode="after")
    def _has_its_answer(self) -> Self:
        check_placeholders(self.send, [])
        if self.send is not None and not self.expect:
            raise ValueError("expect is missing: what should it answer?")
        return self


class TlsCheck(_Probe):
    """A check of a certificate: chain and name as a browser verifies them, and the conditions in `expect`."""

    names: ClassVar = frozenset({"response_ms", "ip", "certificate", "tls_version", "run", "expected_sha"})
    kind: Literal["tls"]
    connect: str = Field(pattern=HOST_PORT)
    server_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+$")
    expect: list[Condition] = ["certificate.days_left > 14"]


class DnsCheck(_Probe):
    """A check of a DNS name, at the system's resolver or at `server`."""

    names: ClassVar = frozenset({"answers", "ttl", "rcode", "response_ms", "ip", "run", "expected_sha"})
    kind: Literal["dns"]
    name: str = Field(pattern=r"^([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$", max_length=254)
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "TXT", "SRV", "CAA", "SOA", "PTR"] = "A"
    server: str | None = Field(default=None, pattern=r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\])(:\d{1,5})?$")

    @property
    def resolver(self) -> tuple[str, int] | None:
        """Address and port of `server`.

        Raises:
            ValueError: It is not an address with a port.
        """
        if self.server is None:
            return None
        parts = urlsplit(f"//{self.server}")
        return str(ipaddress.ip_address(parts.hostname or "")), parts.port or 53

    @model_validator(mode="after")
    def _complete(self) -> "DnsCheck":
        _ = self.resolver
        return self


class HeartbeatCheck(_Probe):
    """A check of a job that calls in: at `/beat/ID/TOKEN` of the live page, plus `/start`, `/fail` or `/log`.

    The job is late if it has not succeeded for the time `within`; with `takes`, also if it started and has not ended
    within that time.
    """

    names: ClassVar = frozenset({"age_s", "took_s", "text", "run", "expected_sha"})
    usual: ClassVar[list[Phase]] = ["scheduled"]
    kind: Literal["heartbeat"]
    token: str = Field(pattern=VARIABLE)
    within: Duration
    takes: Duration | None = None


class PostgresCheck(_Probe):
    """A login and a query in a read-only transaction; conditions use its first `value`, its first `row`, and `rows`."""

    names: ClassVar = frozenset({"value", "row", "rows", "response_ms", "run", "expected_sha"})
    kind: Literal["postgres"]
    url: str = Field(pattern=ADDRESS)
    query: str = Field(default="select 1", min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _complete(self) -> "PostgresCheck":
        if not self.writes and ";" in _QUOTED.sub("", self.query).rstrip("; \t\r\n"):
            why = "one of several statements could end the transaction that keeps the database as it is"
            raise ValueError(f"query: {why}: write one, or say writes = true")
        return self


class RedisCheck(_Probe):
    """A login and a command; a command that may change data needs `writes`."""

    names: ClassVar = frozenset({"answer", "response_ms", "run", "expected_sha"})
    kind: Literal["redis"]
    url: str = Field(pattern=ADDRESS)
    ask: list[str] = Field(default=["PING"], min_length=1, max_length=16)

    @model_validator(mode="after")
    def _reads_or_may_write(self) -> Self:
        if self.ask[0].upper() not in REDIS_READS and not self.writes:
            raise ValueError(
                f"{self.ask[0]} may change something: say writes = true, or use {', '.join(sorted(REDIS_READS))}"
            )
        return self


class NatsCheck(_Probe):
    """A login and a round trip to the server; with `request`, which needs `writes`, an answer on that subject."""

    names: ClassVar = frozenset({"answer", "json", "server", "response_ms", "run", "expected_sha"})
    kind: Literal["nats"]
    url: str = Field(pattern=ADDRESS)
    request: str | None = Field(default=None, pattern=r"^[^\s*>]{1,255}$")
    payload: Any = None

    @model_validator(mode="after")
    def _fits_its_request(self) -> Self:
        if self.request and not self.writes:
            raise ValueError("request has another program do something: say writes = true")
        used = {name for rule in self.expect for name in parse.condition(rule).names}
        if not self.request and (self.payload is not None or {"answer", "json"} & used):
            raise ValueError("payload, answer and json belong to request")
        return self


PROBES = (TcpCheck, TlsCheck, DnsCheck, HeartbeatCheck, PostgresCheck, RedisCheck, NatsCheck)
Probe = TcpCheck | TlsCheck | DnsCheck | HeartbeatCheck | PostgresCheck | RedisCheck | NatsCheck
