"""Railway: the logs of deployments over its GraphQL API."""

import time

import pytest
from harness.instance import Make
from harness.logfiles import failure
from harness.peers import SECOND_NS, Railway


def log(railway: Railway, deployment: str, *lines: str) -> None:
    """Lines of a deployment, a millisecond apart, up to two seconds ago."""
    start = time.time_ns() - 2 * SECOND_NS - len(lines) * 1_000_000
    railway.lines[deployment] += [(start + number * 1_000_000, line) for number, line in enumerate(lines)]


def test_each_deployment_is_read_once(monitor: Make, railway: Railway) -> None:
    """The old deployment still writes while the new one starts; both count, each line once."""
    railway.deploy("d1")
    log(railway, "d1", *failure("no pay").splitlines())
    one = monitor(**railway.environ)
    one.scan()
    railway.deploy("d2")
    log(railway, "d2", *failure("no pay").splitlines())
    one.scan()

    assert (one.counts(), railway.violations) == ({"ValueError: no pay": 2}, [])


def test_more_lines_than_the_limit(monitor: Make, railway: Railway) -> None:
    """Railway gives the newest lines of a span, and one more than was asked for: the span is halved."""
    railway.deploy("d1")
    log(railway, "d1", *(f"ERROR no pay for order {number}" for number in range(120)))
    one = monitor(**railway.environ, RAILWAY_LIMIT=30)
    one.scan()

    assert (sum(one.counts().values()), one.get("/gaps")["total"]) == (120, 0)


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
    ("token", "answer", "said"),
    [
        pytest.param("wrong-token", None, "Not Authorized", id="token"),
        pytest.param(Railway.TOKEN, (200, "<html>"), "something other than JSON", id="html"),
        pytest.param(Railway.TOKEN, (200, '{"data": {}}'), "not a list of deployments", id="empty"),
        pytest.param(Railway.TOKEN, (503, ""), "answers 503", id="503"),
    ],
)
def test_a_bad_answer_is_said(
    monitor: Make, railway: Railway, token: str, answer: tuple[int, str] | None, said: str
) -> None:
    """In the source's error, without the token."""
    railway.next = [answer] * 20 if answer else []
    one = monitor(**{**railway.environ, "RAILWAY_TOKEN": token})

    errors = one.scan()["errors"]

    assert (said in errors["railway"], token in errors["railway"]) == (True, False)
