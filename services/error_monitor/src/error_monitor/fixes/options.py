"""The settings of fixes, and the limits that no answer of a model can move."""

import re
from dataclasses import dataclass, field
from typing import Protocol

_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*", re.ASCII)
_REPOSITORY = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)
_RELATIVE = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[\w./-]{1,200}", re.ASCII)
_ABSOLUTE = re.compile(r"/[^\0\n]{0,500}")
_MIB = 1024 * 1024


class Reads(Protocol):
    """The reader of variables, which collects what is wrong with them."""

    problems: list[str]

    def get(self, name: str) -> str: ...
    def text(self, name: str, default: str, shape: re.Pattern[str], what: str) -> str: ...
    def number(self, name: str, default: float, *, least: float) -> float: ...
    def flag(self, name: str, *, default: bool) -> bool: ...
    def several(self, name: str) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of spending, checked before each call of the model."""

    calls_per_hour: int
    tokens_per_day: int
    tokens_per_fix: int
    usd_per_day: float
    usd_per_fix: float
    usd_per_million_in: float
    usd_per_million_out: float
    pulls_per_day: int

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """The price of so many tokens."""
        return (tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out) / 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The resources that one run in the jail may use."""

    wall_s: float
    memory_bytes: int
    disk_bytes: int
    processes: int


@dataclass(frozen=True, kw_only=True)
class FixSettings:
    """The settings of fixes; secrets stay out of the repr."""

    enabled: bool
    model: str
    api_key: str = field(repr=False)
    api_url: str
    api_timeout_s: float
    github_token: str = field(repr=False)
    github_repository: str
    github_url: str
    github_base: str
    clone: str
    folder: str
    service: str
    sources: tuple[str, ...]
    tests: str
    python: str
    jail: str
    image: str
    seen_least: int
    scans_least: int
    quiet_after_s: float
    public_url: str
    lease_s: float
    pause_s: float
    budget: Budget
    limits: Limits

    @property
    def prefix(self) -> str:
        """The service's folder as the beginning of a path from the root of the repository."""
        return "" if self.folder in ("", ".") else f"{self.folder}/"

    @property
    def missing(self) -> list[str]:
        """The variables without which no fix can be tried."""
        wanted = {
            "ANTHROPIC_API_KEY": self.api_key,
            "ERROR_MONITOR_FIX_CLONE or GITHUB_REPOSITORY": self.clone or self.github_repository,
            "ERROR_MONITOR_FIX_SERVICE": self.service,
        }
        return [name for name, value in wanted.items() if not value]


def read(reads: Reads) -> FixSettings:
    """Read the variables of fixes; contradictions are collected beside all others."""
    name = re.compile(r"[\w.:@/-]{1,200}", re.ASCII)
    found = FixSettings(
        enabled=reads.flag("AUTO_FIX_ENABLED", default=False),
        model=reads.text("ERROR_MONITOR_FIX_MODEL", "claude-sonnet-5-5", name, "a model's name"),
        api_key=reads.get("ANTHROPIC_API_KEY"),
        api_url=reads.text("ANTHROPIC_BASE_URL", "https://api.anthropic.com", _URL, "an http or https URL").rstrip("/"),
        api_timeout_s=reads.number("ERROR_MONITOR_FIX_MODEL_TIMEOUT_S", 180.0, least=0.1),
        github_token=reads.get("GITHUB_TOKEN"),
        github_repository=reads.text("GITHUB_REPOSITORY", "", _REPOSITORY, "OWNER/NAME"),
        github_url=reads.text("GITHUB_API_URL", "https://api.github.com", _URL, "an http or https URL").rstrip("/"),
        github_base=reads.text("ERROR_MONITOR_FIX_BASE", "main", name, "a branch"),
        clone=reads.text("ERROR_MONITOR_FIX_CLONE", "", _ABSOLUTE, "an absolute path"),
        folder=reads.text("ERROR_MONITOR_FIX_FOLDER", ".", _RELATIVE, "a path inside the repository").strip("/"),
        service=reads.text("ERROR_MONITOR_FIX_SERVICE", "", name, "the service's name in its manifest"),
        sources=_paths(reads, "ERROR_MONITOR_FIX_SOURCES", ("src",)),
        tests=reads.text("ERROR_MONITOR_FIX_TESTS", "tests", _RELATIVE, "a path inside the folder").strip("/"),
        python=reads.text("ERROR_MONITOR_FIX_PYTHON", "", _ABSOLUTE, "an absolute path"),
        jail=reads.text("ERROR_MONITOR_FIX_JAIL", "auto", re.compile("auto|bubblewrap|container"), "a kind of jail"),
        image=reads.text("ERROR_MONITOR_FIX_IMAGE", "", name, "an image that has testbay"),
        seen_least=int(reads.number("ERROR_MONITOR_FIX_SEEN", 3, least=1)),
        scans_least=int(reads.number("ERROR_MONITOR_FIX_SCANS", 2, least=1)),
        quiet_after_s=reads.number("ERROR_MONITOR_FIX_QUIET_AFTER_S", 86_400.0, least=0.0),
        public_url=reads.text("ERROR_MONITOR_URL", "", _URL, "an http or https URL").rstrip("/"),
        lease_s=reads.number("ERROR_MONITOR_FIX_LEASE_S", 120.0, least=0.5),
        pause_s=reads.number("ERROR_MONITOR_FIX_PAUSE_S", 30.0, least=0.1),
        budget=_budget(reads),
        limits=_limits(reads),
    )
    if found.enabled:
        wanted = [*found.missing]
        wanted += [] if found.github_repository else ["GITHUB_REPOSITORY"]
        wanted += [] if found.github_token else ["GITHUB_TOKEN"]
        reads.problems += [f"AUTO_FIX_ENABLED is true, but {one} is not set" for one in dict.fromkeys(wanted)]
    return found


def _paths(reads: Reads, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    given = reads.several(name) or default
    if wrong := [one for one in given if not _RELATIVE.fullmatch(one)]:
        reads.problems.append(f"{name} must name paths inside the folder, but has {wrong[0]!r}")
    return tuple(one.strip("/") for one in given)


def _budget(reads: Reads) -> Budget:
    return Budget(
        calls_per_hour=int(reads.number("ERROR_MONITOR_FIX_CALLS_PER_HOUR", 60, least=0)),
        tokens_per_day=int(reads.number("ERROR_MONITOR_FIX_TOKENS_PER_DAY", 2_000_000, least=0)),
        tokens_per_fix=int(reads.number("ERROR_MONITOR_FIX_TOKENS_PER_FIX", 400_000, least=0)),
        usd_per_day=reads.number("ERROR_MONITOR_FIX_USD_PER_DAY", 10.0, least=0.0),
        usd_per_fix=reads.number("ERROR_MONITOR_FIX_USD_PER_FIX", 2.0, least=0.0),
        usd_per_million_in=reads.number("ERROR_MONITOR_FIX_USD_PER_MILLION_IN", 2.0, least=0.0),
        usd_per_million_out=reads.number("ERROR_MONITOR_FIX_USD_PER_MILLION_OUT", 10.0, least=0.0),
        pulls_per_day=int(reads.number("ERROR_MONITOR_FIX_PULLS_PER_DAY", 5, least=0)),
    )


def _limits(reads: Reads) -> Limits:
    return Limits(
        wall_s=reads.number("ERROR_MONITOR_FIX_WALL_S", 900.0, least=1.0),
        memory_bytes=int(reads.number("ERROR_MONITOR_FIX_MEMORY_MB", 4096, least=64)) * _MIB,
        disk_bytes=int(reads.number("ERROR_MONITOR_FIX_DISK_MB", 1024, least=16)) * _MIB,
        processes=int(reads.number("ERROR_MONITOR_FIX_PROCESSES", 400, least=8)),
    )
