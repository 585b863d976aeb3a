"""All configuration, read once from the environment. No other module reads it."""

import difflib
import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from error_monitor.fixes import options
from error_monitor.fixes.options import FixSettings

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_OWN = re.compile(r"(?:ERROR_MONITOR|LOKI|LOG_FILES|LOG_CONTAINERS|AUTO_?FIX)")
_SOURCES = ("LOG_FILES", "LOG_CONTAINERS", "LOKI_URL", "RAILWAY_TOKEN")
_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*", re.ASCII)
_DATABASE = re.compile(r"postgres(?:ql)?://\S+")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


class SettingsError(ValueError):
    """Variables that are set to something we cannot use; the message has a line for each."""


@dataclass(frozen=True, kw_only=True)
class Loki:
    url: str
    query: str
    tenant: str
    token: str = field(repr=False)
    limit: int


@dataclass(frozen=True, kw_only=True)
class Railway:
    url: str
    token: str = field(repr=False)
    environment_id: str
    service_ids: tuple[str, ...]
    limit: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The service's settings; secrets stay out of its repr."""

    enabled: bool
    monitor: str
    database_url: str = field(repr=False)
    token: str = field(repr=False)
    interval_s: float
    heartbeat_s: float
    settle_s: float
    scan_deadline_s: float
    lookback_s: float
    log_files: tuple[str, ...]
    log_containers: tuple[str, ...]
    loki: Loki | None
    railway: Railway | None
    source_timeout_s: float
    backoff_s: float
    db_pool_max: int
    db_timeout_s: float
    log_level: str
    fixes: FixSettings
    names: tuple[str, ...] = field(repr=False)
    """The names of all variables: one of another program may look like the source that is missing."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read every variable.

        Raises:
            SettingsError: Some are unknown, unusable or contradict each other; all of them are named at once.
        """
        read = _Reader(env)
        settings = cls(
            enabled=read.flag("ERROR_MONITORING_ENABLED", default=True),
            monitor=read.text("ERROR_MONITOR_NAME", "default", _NAME, "a name of a-z, 0-9, - and _"),
            database_url=read.text("DATABASE_URL", "", _DATABASE, "a URL such as postgresql://user@host:5432/name"),
            token=read.text("ERROR_MONITOR_TOKEN", "", re.compile(r"[!-~]{16,}"), "16 or more printable characters"),
            interval_s=read.number("ERROR_MONITOR_INTERVAL", 300.0, least=10.0),
            heartbeat_s=read.number("ERROR_MONITOR_HEARTBEAT_S", 5.0, least=0.2),
            settle_s=read.number("ERROR_MONITOR_SETTLE_S", 2.0, least=0.0),
            scan_deadline_s=read.number("ERROR_MONITOR_SCAN_DEADLINE_S", 240.0, least=1.0),
            lookback_s=read.number("ERROR_MONITOR_LOOKBACK_S", 3600.0, least=0.0),
            log_files=_files(read),
            log_containers=read.several("LOG_CONTAINERS"),
            loki=_loki(read),
            railway=_railway(read),
            source_timeout_s=read.number("ERROR_MONITOR_SOURCE_TIMEOUT_S", 10.0, least=0.1),
            backoff_s=read.number("ERROR_MONITOR_BACKOFF_S", 5.0, least=0.0),
            db_pool_max=int(read.number("ERROR_MONITOR_DB_POOL_MAX", 5, least=2)),
            db_timeout_s=read.number("ERROR_MONITOR_DB_TIMEOUT_S", 5.0, least=0.1),
            log_level=read.text("LOG_LEVEL", "INFO", re.compile(r"(?i)debug|info|warning|error"), "a level"),
            fixes=options.read(read),
            names=tuple(sorted(env)),
        )
        read.finish()
        return settings

    def check_database(self) -> None:
        """Refuse to go on without a database."""
        if not self.database_url:
            raise SettingsError("DATABASE_URL is not set: patterns, counts and cursors are kept in PostgreSQL")

    def check_scanning(self) -> None:
        """Refuse to scan what is not set up."""
        self.check_database()
        if why := self.without_source():
            raise SettingsError(why)

    def without_source(self) -> str:
        """Say what to do where no source is set up; nothing where one is."""
        if self.log_files or self.log_containers or self.loki or self.railway:
            return ""
        near = {name: difflib.get_close_matches(name, _SOURCES, n=1, cutoff=0.85) for name in self.names}
        meant = [(name, one[0]) for name, one in near.items() if one and name != one[0]]
        hints = "".join(f"; {name} is set: did you mean {one}?" for name, one in meant)
        return f"no source is set up: set LOG_FILES, LOG_CONTAINERS, LOKI_URL or RAILWAY_TOKEN{hints}"

    def check_serving(self) -> None:
        """Refuse to serve without what serving needs; all that is missing is named at once."""
        missing = []
        if not self.database_url:
            missing.append("DATABASE_URL is not set: patterns, counts and cursors are kept in PostgreSQL")
        if not self.token:
            missing.append("ERROR_MONITOR_TOKEN is not set: without it anyone could read your logs")
        if missing:
            raise SettingsError("\n".join(missing))

    @property
    def lease_s(self) -> float:
        """The seconds for which a silent holder keeps the lease; with the watch of the others below two beats."""
        return self.heartbeat_s * 1.5

    @property
    def reads(self) -> str:
        """A digest of what is read: two monitors of one name that differ in it are told."""
        loki = self.loki and (self.loki.url, self.loki.query, self.loki.tenant)
        railway = self.railway and (self.railway.environment_id, self.railway.service_ids)
        parts = (self.log_files, self.log_containers, loki, railway)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._known: set[str] = set()
        self.problems: list[str] = []

    def get(self, name: str) -> str:
        self._known.add(name)
        return self._env.get(name, "").strip()

    def text(self, name: str, default: str, shape: re.Pattern[str], what: str) -> str:
        value = self.get(name)
        if value and not shape.fullmatch(value):
            self.problems.append(f"{name} must be {what}")  # without the value: it may be a secret
            return default
        return value or default

    def number(self, name: str, default: float, *, least: float) -> float:
        value = self.get(name)
        if not value:
            return default
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found) or found < least:
            self.problems.append(f"{name} must be a number, {least:g} or more, but is {value[:40]!r}")
            return default
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.get(name).lower()
        if value and value not in _TRUE | _FALSE:
            self.problems.append(f"{name} must be true or false, but is {value!r}")
        return value in _TRUE if value in _TRUE | _FALSE else default

    def several(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.strip() for part in self.get(name).split(",") if part.strip()))

    def finish(self) -> None:
        unknown = [name for name in sorted(self._env) if _OWN.match(name) and name not in self._known]
        for name in unknown:
            near = difflib.get_close_matches(name, self._known, n=1)
            self.problems.append(f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else ""))
        if self.problems:
            raise SettingsError("\n".join(self.problems))


def _files(read: _Reader) -> tuple[str, ...]:
    patterns = read.several("LOG_FILES")
    if relative := [one for one in patterns if not one.startswith("/")]:
        read.problems.append(f"LOG_FILES must name absolute paths, but has {relative[0]!r}")
    return patterns


def _loki(read: _Reader) -> Loki | None:
    is_on = read.flag("LOKI_ENABLED", default=False)
    url = read.text("LOKI_URL", "", _URL, "an http or https URL without a query").rstrip("/")
    loki = Loki(
        url=url,
        query=read.get("LOKI_QUERY") or '{job=~".+"}',
        tenant=read.text("LOKI_TENANT", "", re.compile(r"[\w.|-]+", re.ASCII), "a tenant's id"),
        token=read.get("LOKI_TOKEN"),
        limit=int(read.number("LOKI_LIMIT", 5000, least=1)),
    )
    if is_on and not url:
        read.problems.append("LOKI_ENABLED is true, but LOKI_URL is not set")
    for name in ("LOKI_URL", "LOKI_QUERY", "LOKI_TENANT", "LOKI_TOKEN"):
        if read.get(name) and not is_on:
            read.problems.append(f"{name} is set, but LOKI_ENABLED is not true")
    return loki if is_on else None


def _railway(read: _Reader) -> Railway | None:
    token, environment = read.get("RAILWAY_TOKEN"), read.get("RAILWAY_ENVIRONMENT_ID")
    service_ids = read.several("RAILWAY_SERVICE_IDS")
    url = read.text("RAILWAY_API_URL", "", _URL, "an http or https URL without a query")
    if (token or service_ids) and not environment:
        read.problems.append("RAILWAY_TOKEN or RAILWAY_SERVICE_IDS is set, but RAILWAY_ENVIRONMENT_ID is not")
    if service_ids and not token:
        read.problems.append("RAILWAY_SERVICE_IDS is set, but RAILWAY_TOKEN is not")
    return (
        Railway(
            url=url or "https://backboard.railway.com/graphql/v2",
            token=token,
            environment_id=environment,
            service_ids=service_ids,
            limit=int(read.number("RAILWAY_LIMIT", 500, least=1)),
        )
        if token
        else None
    )
