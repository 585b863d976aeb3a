"""The context of a run of checks, and the error of a check that does not pass."""

import asyncio
import math
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbay import masking
from testbay.manifest import placeholders
from testbay.manifest.expressions.evaluate import Missing, NotMetError
from testbay.manifest.expressions.parse import condition
from testbay.production.checks import loop
from testbay.production.checks.report import Verdict
from testbay.text import strict_json

if TYPE_CHECKING:
    import aiohttp


_ERROR_STATUS = 400
_PASSWORD = re.compile(r"(?<=://)[^\s/?#@'\"]*:[^\s/?#@'\"]+(?=@)")
# What answers repeat of a login: `Bearer` or `Basic` with something other than a word, and tokens in JSON (JWT).
_LOGIN = re.compile(r"(?i:(?<=\bbearer )|(?<=\bbasic ))(?=\S*\d|\S{16})[\w.~+/=-]{8,}|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}")


class FoundError(Exception):
    """A check did not pass: `fail` if the target is at fault, `error` if the check could not be run."""

    def __init__(
        self,
        verdict: Verdict,
        said: str,
        evidence: Iterable[str] = (),
        *,
        reached: bool = True,
    ) -> None:
        super().__init__(said)
        self.verdict = verdict
        self.said = said
        self.evidence = tuple(evidence)
        self.reached = reached  # whether anything may have been done there


@dataclass(frozen=True, kw_only=True)
class Passed:
    """The finding of a check that passed."""

    said: str
    evidence: tuple[str, ...] = ()
    latencies_s: tuple[float, ...] = ()


@dataclass(kw_only=True)
class CheckContext:
    """The context of one run of checks.

    `secrets` grows with captured values; `deadline` is on the monotonic clock. `direct` means without a proxy, and
    `proxy` is the one that the environment names; `tls` knows the trusted certificates; `commit` is the one that the
    gate found running. `cookies` are the values that the target set in one attempt: with them anyone could go on with
    its session.
    """

    base_url: str = field(repr=False)  # may hold a password
    headers: Mapping[str, str] = field(repr=False)
    writes: bool
    root: Path
    environ: Mapping[str, str] = field(repr=False)
    run_id: str
    expected_sha: str
    deadline: float
    client: "aiohttp.ClientSession"
    direct: bool
    proxy: str = field(default="", repr=False)  # may hold a password
    tls: ssl.SSLContext
    secrets: set[str] = field(default_factory=set, repr=False)
    commit: str = ""
    cookies: set[str] = field(default_factory=set, repr=False)

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    @property
    def is_plain(self) -> bool:
        """Whether the target is asked without TLS."""
        return not self.base_url.startswith("https:")

    @property
    def host(self) -> str:
        """The target's host, as it is looked up; empty if its address has no host."""
        from yarl import URL

        with suppress(ValueError):
            return URL(self.base_url).raw_host or ""
        return ""

    def names(self, **more: Any) -> dict[str, Any]:
        """The values that a condition can name: `more`, the run's id and the expected commit."""
        expected = self.expected_sha or Missing("no commit is expected (--commit names one)")
        return {"run": {"id": self.run_id}, "expected_sha": expected, **more}

    def scope(self, **known: Any) -> "Scope":
        """The values of placeholders."""
        return Scope(self, known)

    def masked(self, text: str) -> str:
        """Mask every form of a secret, the beginning of one that was cut off, logins, and passwords in addresses."""
        text = masking.masked_cut(text, self.secrets) if self.secrets else text
        text = _LOGIN.sub(masking.MASK, text)
        return _PASSWORD.sub(masking.MASK, text) if "@" in text else text

    def without_cookies(self, error: FoundError) -> FoundError:
        """Mask the attempt's cookies: only here, as that takes a millisecond, and what passed shows none."""
        if not self.cookies:
            return error
        said, *evidence = (masking.masked_cut(text, self.cookies) for text in (error.said, *error.evidence))
        return FoundError(error.verdict, said, evidence, reached=error.reached)


@dataclass(frozen=True)
class Scope:
    """The values of `{name}` in one check."""

    context: CheckContext
    known: dict[str, Any]

    def __call__(self, name: str) -> Any:
        """Look up a placeholder.

        Raises:
            FoundError: A secret is absent or empty.
        """
        if name == "run.id":
            return self.context.run_id
        if not name.startswith(placeholders.SECRET):
            return self.known[name]
        variable = name.removeprefix(placeholders.SECRET)
        value = self.context.environ.get(variable, "")
        if not value.strip():
            raise FoundError("error", f"{variable} is not set, and {{{name}}} needs it", reached=False)
        self.context.secrets.add(value)
        return value


@dataclass
class Progress:
    """The progress of an exchange; `said` completes the message of a time-out."""

    said: str = ""


UNANSWERED = ": no answer came"
CONNECTING: ContextVar[Progress | None] = ContextVar("CONNECTING", default=None)
"""The progress of the request that this task makes, for the client to tell that it is connected."""


@asynccontextmanager
async def deadline(what: str, timeout_s: float, until: float = math.inf, *, host: str = "") -> AsyncIterator[Progress]:
    """Limit the time of one check of a host; `until` is the deadline of the whole run.

    Raises:
        FoundError: It took longer: `fail`, or `error` when the run was over, or when that says nothing of the host.
    """
    left_s, starved_s = until - time.monotonic(), [loop.starved_lately_s()]
    most_s, progress = max(0.0, min(timeout_s, left_s)), Progress()
    # At the limit, and not where it is told of: what the check's end takes on a busy machine is not the host's matter.
    noted = asyncio.get_running_loop().call_later(most_s, lambda: starved_s.append(loop.starved_s()))
    limit = asyncio.timeout(most_s)
    try:
        async with limit:
            yield progress
    except TimeoutError:
        if not limit.expired():
            raise
        if left_s < timeout_s:
            raise FoundError("error", "the time limit of the whole run was reached") from None
        took = f"took longer than {timeout_s:g} s"
        if loop.is_looking_up(host):
            raise unresolved(what, f"the system {took} to look up {host}") from None
        if (without_s := starved_s[-1] - starved_s[0]) > timeout_s / 2:
            busy = f"this machine is too busy to tell: testbay had no processor for {without_s:.1f} s of that"
            raise FoundError("error", f"{what} {took}, and {busy}") from None
        raise FoundError("fail", f"{what} {took}{progress.said}") from None
    finally:
        noted.cancel()


def unresolved(what: str, *evidence: str) -> FoundError:
    """The error of a host whose name no server of DNS answered for, whether it said so or not."""
    said = "the host's name is not known: no DNS server answers for it"
    return FoundError("error", f"{what}: {said}", evidence, reached=False)


def judge(rules: Sequence[str], values: Mapping[str, Any], evidence: Iterable[str] = ()) -> None:
    """Evaluate all conditions. An error status that none of them names begins the message: it is the likely cause.

    Raises:
        FoundError: One of them does not hold; the others that do not are its evidence.
    """
    wrong = []
    for rule in rules:
        try:
            condition(rule).require(values)
        except NotMetError as error:
            wrong.append(str(error))
    if wrong:
        status, named = values.get("status"), {name for rule in rules for name in condition(rule).names}
        if isinstance(status, int) and status >= _ERROR_STATUS and "status" not in named:
            wrong[0] = f"status {status}; {wrong[0]}"
        raise FoundError("fail", wrong[0], [*wrong[1:], *evidence])


def parsed(text: str, what: str) -> Any:
    """Parse a text as JSON; a `Missing` with the reason if that fails."""
    if not text.strip():
        return Missing(f"{what} is empty")
    try:
        return strict_json(text)
    except (ValueError, RecursionError) as error:
        too_much = isinstance(error, RecursionError) or "digits" in str(error)
        why = getattr(error, "msg", "nested too deeply, or with a number too long" if too_much else str(error))
        begins = " ".join(text[:200].split())[:60]
        return Missing(f"{what} is not JSON ({why}): {begins!r}")
