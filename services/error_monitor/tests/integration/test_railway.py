"""Railway: the logs of deployments over its GraphQL API."""

import time
from collections.abc import Iterator, Mapping

import pytest
from harness.instance import Instance, Make
from harness.logfiles import failure
from harness.peers import SECOND_NS, Railway


@pytest.fixture(scope="module")
def shared() -> Iterator[Railway]:
    """The server of the monitor that the tests share; each test has deployments and lines of its own."""
    with Railway() as server:
        yield server


@pytest.fixture(scope="module")
def module_env(shared: Railway) -> Mapping[str, str]:
    """Railway alone; an answer has thirty lines at most."""
    return {**shared.environ, "RAILWAY_LIMIT": "30"}


def log(railway: Railway, deployment: str, *lines: str) -> None:
    """Lines of a deployment, a millisecond apart, up to two seconds ago."""
    start = time.time_ns() - 2 * SECOND_NS - len(lines) * 1_000_000
    railway.lines[deployment] += [(start + number * 1_000_000, line) for number, line in enumerate(lines)]


def test_each_deployment_is_read_once(module_monitor: Instance, shared: Railway) -> None:
    """The old deployment still writes while the new one starts; both count, each line once."""
    shared.deploy("old")
    log(shared, "old", *failure("no pay").splitlines())
    module_monitor.scan()
    shared.deploy("new")
    log(shared, "new", *failure("no pay").splitlines())
    module_monitor.scan()

    assert (module_monitor.counts(words="no pay"), shared.violations) == ({"ValueError: no pay": 2}, [])


def test_more_lines_than_the_limit(module_monitor: Instance, shared: Railway) -> None:
    """Railway gives the newest lines of a span, and one more than was asked for: the span is halved."""
    shared.deploy("many")
    log(shared, "many", *(f"ERROR no room for order {number}" for number in range(120)))
    module_monitor.scan()

    counted = sum(module_monitor.counts(words="no room").values())
    assert (counted, module_monitor.get("/gaps")["total"]) == (120, 0)


def test_only_the_services_that_are_named(monitor: Make, railway: Railway) -> None:
    """RAILWAY_SERVICE_IDS leaves the others out."""
    railway.deploy("d1", service="shop")
    railway.deploy("d2", service="blog")
    log(railway, "d1", "ERROR of the shop")
    log(railway, "d2", "ERROR of the blog")
    one = monitor(**railway.environ, RAILWAY_SERVICE_IDS="shop")
    one.scan()

    assert one.counts() == {"of the shop": 1}


def test_a_token_of_an_account(monitor: Make, railway: Railway) -> None:
    """A token that is not a project's is sent the other way."""
    railway.deploy("d1")
    log(railway, "d1", "ERROR of the shop")
    one = monitor(**{**railway.environ, "RAILWAY_TOKEN": f"{Railway.TOKEN}-account"})
    one.scan()

    assert one.counts() == {"of the shop": 1}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param((200, "<html>"), "something other than JSON", id="html"),
        pytest.param((200, '{"data": {}}'), "not a list of deployments", id="empty"),
        pytest.param((503, ""), "answers 503", id="503"),
    ],
)
def test_a_bad_answer_is_said(module_monitor: Instance, shared: Railway, answer: tuple[int, str], said: str) -> None:
    """In the source's error, without the token."""
    shared.next = [answer] * 20
    errors = module_monitor.scan()["errors"]
    shared.next = []

    assert (said in errors["railway"], Railway.TOKEN in errors["railway"]) == (True, False)


def test_a_wrong_token_is_said(monitor: Make, railway: Railway) -> None:
    """Railway's own words, without the token."""
    one = monitor(**{**railway.environ, "RAILWAY_TOKEN": "wrong-token"})

    errors = one.scan()["errors"]

    assert ("Not Authorized" in errors["railway"], "wrong-token" in errors["railway"]) == (True, False)
