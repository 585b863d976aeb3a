"""Hints for errors that are common in suites new to testbay; each names the remedy."""

import re
import sys
from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from testbay import settings
from testbay.harness import world

_EXPORTED = re.compile(r"\b(DATABASE_URL|POSTGRES_[A-Z]+|REDIS_URL|DRAGONFLY_[A-Z]+|NATS_URL)\b")
_UNSET = re.compile(
    r"(?i)\b(database_url|redis_url|nats_url)\b(?=\s+field required|.{0,80}\b(?:not set|not found|missing)\b)",
    re.DOTALL,
)
_MISSING = re.compile(r"(?i)^KeyError|required|not set|not found|missing|undefined|environment")
_SETS = re.compile(
    r"\b((PG)(?:HOST|PORT|USER|PASSWORD|DATABASE)|(DB)_(?:HOST|PORT|USER|PASSWORD|NAME)"
    r"|(REDIS|VALKEY)_(?:HOST|PORT|PASSWORD|DB)|(NATS)_(?:HOST|PORT))\b"
)
_NO_ADDRESS = re.compile(r'on socket "[^"]*\.s\.PGSQL\.|Expected string or URL object, got None')
_SCOPE = re.compile(
    r"ScopeMismatch.*function scoped fixture "
    r"(bay|(?:postgres|dragonfly|redis)(?:_async|_asyncpg)?|valkey|nats|service|faults)\b",
    re.DOTALL,
)
_UNKNOWN = re.compile(r"NOAUTH|Authentication required|already authenticated|Authorization Violation", re.IGNORECASE)
_DJANGO = re.compile(r"AppRegistryNotReady|ImproperlyConfigured: Requested setting.* settings are not configured")
_REFUSED = re.compile(r"(?:localhost|127\.0\.0\.1|::1|port)\D{1,20}\b(5432|6379|4222)\b", re.DOTALL)
_DOCKER = re.compile(r"DockerException: Error while fetching server API version|Cannot connect to the Docker daemon")
_CALLED = re.compile(
    r"""Command '(?:\[')?docker\b.*\b(?:run|up|start|create)\b.* (?:non-zero|timed out|died)"""
    r"""|No such file[^:]*: '(docker(?:-compose)?)'$"""
)
_UNRESOLVED = re.compile(
    r"(?:failed to resolve host '|could not translate host name \"|connecting to )([\w-]+)\b(?!\.)"
    r".*(?:not known|name resolution|No address)",
    re.DOTALL,
)
_CREATED = re.compile(r'database "([^"]+)" already exists')
_LACKING = re.compile(r'database "([^"]+)" does not exist')
_CHANGED = re.compile(
    r'(?:relation|table|type|schema|column|index|sequence) "[^"]*" (?:does not exist|already exists)|deadlock detected'
    r"|violates (?:unique|foreign key) constraint|tuple concurrently (?:updated|deleted)|cached plan must not change"
)
_USUAL = {
    "5432": ("postgres", "DATABASE_URL"),
    "6379": ("redis", "REDIS_URL"),
    "4222": ("nats", "NATS_URL"),
}
_CALL = 'call `testbay run`, or `eval "$(testbay up --keep)"` before pytest'
_LIMIT = 1000


def hint(error: BaseException) -> str:
    """The advice for a known error; empty for all others."""
    said = _said(error)
    if found := _SCOPE.search(said):
        return (
            f"testbay: `{found[1]}` is one test's. For a wider scope override `bay` in your conftest with a fixture of "
            "that scope that yields from `testbay.lease()`: `testbay explain reference/plugin#fixtures`"
        )
    if _UNKNOWN.search(said):
        return (
            "testbay: a server without a password in the compose file has one of its stack. REDIS_URL, NATS_URL and "
            "DRAGONFLY_PASSWORD carry it. A port fixed in `ports`, or `requirepass ''` in the compose file, has none"
        )
    if _DJANGO.match(said) and find_spec("pytest_django") is None:
        return "testbay: pytest-django sets Django up before the tests are imported, and is not installed here"
    called = _CALLED.search(said)
    if called or _DOCKER.search(said):
        why = (
            "no Docker engine answers"
            if called is None
            else f"there is no {called[1]}"
            if called[1]
            else "docker failed"
        )
        return (
            f"testbay: the suite starts containers, and {why}. testbay's servers need none: have "
            "the fixture return DATABASE_URL, REDIS_URL or NATS_URL of the environment instead"
        )
    return _misled(said) or _usual_port(said) or _unset(said) or _beside(error)


def _misled(message: str) -> str:
    """The advice for a suite that names another host, or another database, than testbay's servers have."""
    if found := _UNRESOLVED.search(message):
        return (
            f"testbay: only containers of the compose file know the host {found[1]}. The server is where DATABASE_URL, "
            "REDIS_URL or NATS_URL leads: read the address from them, or from variables that `env` of the manifest sets"
        )
    own = settings.environ().get("POSTGRES_DB")
    if (found := _CREATED.search(message)) and found[1] == own:
        return (
            f"testbay: the suite creates its database itself, and is led to the run's own, {found[1]}. In `env` of the "
            "manifest name another: '…{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/NAME'"
        )
    if own and (found := _LACKING.search(message)):
        return (
            f"testbay: the suite wants the database {found[1]}, and the run's own is {own}. In the compose file, "
            f"`POSTGRES_DB: {found[1]}` makes that the run's own; a script in /docker-entrypoint-initdb.d makes another"
        )
    return ""


def _said(error: BaseException) -> str:
    """The error's class and words; a class may fail to give its own."""
    with suppress(Exception):
        return f"{type(error).__name__}: {error}"[:_LIMIT]
    return type(error).__name__


def _beside(error: BaseException) -> str:
    """Advise on a module in the current folder that was not found; pytest wraps the error of an import."""
    cause = error.__cause__ or error
    name = (cause.name or "").partition(".")[0] if isinstance(cause, ModuleNotFoundError) else ""
    try:
        here = Path.cwd()
    except OSError:  # a test has removed it
        return ""
    if not name or {"", str(here)} & set(sys.path) or not any((here / one).exists() for one in (name, f"{name}.py")):
        return ""
    return (
        f"testbay: {name} is in this folder. `testbay run` and `python -m pytest` look there; "
        'so does plain pytest with `pythonpath = ["."]` in its settings'
    )


def _unset(message: str) -> str:
    found = _EXPORTED.search(message) or _UNSET.search(message)
    name = found[1].upper() if found else "DATABASE_URL" if _NO_ADDRESS.search(message) else ""
    if not name and (one := _SETS.search(message)) and one[1] not in settings.environ():
        kind = next(filter(None, one.groups()[1:]))
        return f'testbay: {one[1]} is set where the manifest says `exports = ["{kind}"]`'
    return _set_by_run(name) if name and name not in settings.environ() else ""


def _set_by_run(name: str) -> str:
    return (
        f"testbay: {name} is set for the whole run by `testbay run`; with plain pytest only while a test holds a "
        f"lease (`bay`, `postgres` …). Settings, modules, session fixtures, setUpClass come before: {_CALL}"
    )


def _usual_port(message: str) -> str:
    found = _REFUSED.search(message) if "refused" in message.lower() else None
    if found is None:
        return ""
    name, variable = _USUAL[found[1]]
    if f":{found[1]}" in settings.environ().get(variable, ""):
        return ""  # it is there, and the test knows why it is refused
    about = f"testbay: the suite expects {name} on port {found[1]}, where nothing listens. "
    if not {variable, "TESTBAY_RUN_DIR", "TESTBAY_STACK"} & settings.environ().keys():
        return f"{about}Plain pytest starts servers only for a test that holds a lease (`bay`, `postgres` …): {_CALL}"
    return about + (
        f"With {name} in `needs`, `ports = {{ {name} = {found[1]} }}` in the manifest has `testbay run` put it there; "
        f"or let the suite read {variable}"
    )


def hint_of_workers(error: BaseException, workers: int, fixtures: Collection[str]) -> str:
    """The advice for a test that met tables or rows which it did not expect, and shares its database with workers.

    Empty where `fixtures` give the test a database of its own, or tell it the worker that it is in.
    """
    if workers < 2 or {"bay", "worker_id"} & set(fixtures) or not _CHANGED.search(_said(error)):
        return ""
    return (
        f"testbay: where the tests of {workers} workers share one database, one of another worker may have changed "
        "what this test found. `-n 0` tells; with the fixture `bay` a test has a database of its own"
    )


class Hints:
    """Adds hints to reports.

    `variables` returns those of the project's manifests; None without a manifest: then there are no hints.
    """

    def __init__(self, variables: Callable[[], Collection[str] | None]) -> None:
        self._variables = cache(variables)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the hint before the logs, which matter less for such an error."""
        report = yield
        self._add(report, call, item)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add a hint to the report of a test file that could not be imported."""
        report = yield
        self._add(report, getattr(report, "call", None))
        return report

    def _add(
        self,
        report: pytest.TestReport | pytest.CollectReport,
        call: pytest.CallInfo[Any] | None,
        item: pytest.Item | None = None,
    ) -> None:
        if not report.failed or call is None or call.excinfo is None:
            return
        error = call.excinfo.value
        text = self._hint(error) or (self._hint_of_workers(error, item) if item else "")
        report.sections += [("testbay", text)] if text else []

    def note(self, error: BaseException) -> None:
        """Add a hint to an error that ends pytest before there is a report."""
        if text := self._hint(error):
            error.add_note(text)

    @world.really  # the fixtures of a failed test still hold: a file system of its own, fakes
    def _hint(self, error: BaseException) -> str:
        text, said = hint(error), _said(error)
        if not (text or _MISSING.search(said)) or (named := self._variables()) is None:
            return ""
        unset = (name for name in named if name not in settings.environ())
        lacking = next((name for name in unset if re.search(rf"(?i)\b{re.escape(name)}\b", said)), "")
        return text or (_set_by_run(lacking) if lacking else "")

    def _hint_of_workers(self, error: BaseException, item: pytest.Item) -> str:
        if item.config.pluginmanager.has_plugin("django"):  # pytest-django makes a database for each worker
            return ""
        workers = getattr(item.config, "workerinput", {}).get("workercount", 1)
        text = hint_of_workers(error, workers, getattr(item, "fixturenames", ()))
        return text if text and self._variables() is not None else ""
