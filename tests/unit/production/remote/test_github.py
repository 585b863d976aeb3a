"""Calls to an API that does not behave: what is tried again, what is given up, and what is said then."""

import json
import select
import socket
from collections.abc import Callable

import pytest
from tests.unit.conftest import Listen

from testbay.errors import IncidentsError
from testbay.production.incidents.issues import Issues
from testbay.production.remote import github
from testbay.production.remote.github import Api, GitHubAccess, Patience, UnsureError

TOKEN = "ghs_throwaway0123456789"
HEAD = "HTTP/1.1 {} X\r\nContent-Type: application/json\r\n{}\r\n"
Answers = Callable[..., Api]


@pytest.fixture
def waits() -> list[float]:
    """How long was slept, each time."""
    return []


@pytest.fixture
def answers(listen: Listen, waits: list[float]) -> Answers:
    """An API that gives these answers, one for each connection, and hangs up; the last again and again."""

    def make(*texts: str) -> Api:
        left = list(texts)

        def converse(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall((left.pop(0) if len(left) > 1 else left[0]).encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass  # who hangs up on unread data resets the connection, and the answer is lost

        access = GitHubAccess(api_url=f"http://127.0.0.1:{listen(converse)}", repository="acme/shop", token=TOKEN)
        return Api(access, Patience(100, clock=lambda: sum(waits), sleep=waits.append))

    return make


def says(body: str, status: int = 200, *headers: str) -> str:
    """A whole answer."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", "Connection: close", *headers))
    return HEAD.format(status, lines) + body


CUT = HEAD.format(200, "Content-Length: 99\r\n") + "["


def test_a_read_that_breaks_off_is_done_again(answers: Answers, waits: list[float]) -> None:
    """Reading changes nothing: it is repeated, each time after a longer pause."""
    calls = answers(CUT, says("", 503), CUT, says("[{}]"))
    assert list(calls.pages("issues")) == [{}]

    assert waits == sorted(waits)
    assert len(waits) == 3


def test_a_write_that_breaks_off_is_not_done_again(answers: Answers, waits: list[float]) -> None:
    """It may have happened: the error says so by its class, and nothing is sent twice."""
    calls = answers(CUT)
    with pytest.raises(UnsureError, match="POST /repos/acme/shop/issues: the answer was cut off"):
        calls.call("POST", "issues", {})

    assert waits == []


def test_an_edit_that_breaks_off_is_done_again(answers: Answers, waits: list[float]) -> None:
    """Twice the same edit is one edit."""
    calls = answers(CUT, says("{}"))
    assert calls.call("PATCH", "issues/1", {}) == {}

    assert len(waits) == 1


def test_a_pause_that_was_asked_for_is_kept(answers: Answers, waits: list[float]) -> None:
    """Retry-After counts for a 503 as well; what is no number does not."""
    calls = answers(says("", 503, "Retry-After: 7"), says("", 502, "Retry-After: soon"), says("[]"))
    assert list(calls.pages("issues")) == []

    assert (waits[0], 0 < waits[1] < 2) == (7, True)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("[]", "PATCH issues/1: the answer is no object"),
        ('{"number": 1}', "an issue has an unexpected form"),
        (
            '{"number": 1, "state": "closed", "labels": [], "closed_at": "yesterday"}',
            "an issue was changed at 'yesterday', which is not a time",
        ),
        ("[" * 100_000, "the answer is not JSON"),
    ],
)
def test_an_issue_that_is_none_is_refused(answers: Answers, answer: str, message: str) -> None:
    """What does not look like GitHub's answer is not taken for one."""
    calls = answers(says(answer))
    with pytest.raises(IncidentsError) as refused:
        Issues(calls, "label").edit(1, title="x")

    assert message in refused.value.what


def test_what_an_issue_has_instead_is_cut(answers: Answers) -> None:
    """A key of a megabyte is no evidence that anybody reads."""
    with pytest.raises(IncidentsError) as refused:
        Issues(answers(says(json.dumps({"k" * (1 << 20): 1}))), "label").edit(1, title="x")

    assert (refused.value.evidence[:14], len(refused.value.evidence)) == ("its keys: ['kk", 500)


def test_an_answer_without_end_is_left(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a full page can have is not read into memory."""
    monkeypatch.setattr(github, "_MAX_ANSWER_BYTES", 1 << 20)
    calls = answers(HEAD.format(200, "") + "x" * (2 << 20))
    with pytest.raises(UnsureError) as refused:
        calls.call("POST", "issues", {})

    assert refused.value.why == "an answer of more than 1024 KiB, or too slow"


def test_nothing_is_begun_when_the_time_is_over(answers: Answers, waits: list[float]) -> None:
    """Whatever is still to be done, a run ends."""
    calls = answers(says("{}"))
    waits.append(100)
    with pytest.raises(IncidentsError, match=r"PATCH .*: not sent, as the time limit of all calls is reached"):
        calls.call("PATCH", "issues/1", {})


@pytest.mark.parametrize("head", [HEAD.format(200, ""), "HTTP/1.1 200 OK\r\nX-Words: "])
def test_an_answer_that_drips_is_left(listen: Listen, head: str) -> None:
    """Each byte in time is not enough: all of it, headers too, has to come within the time there is."""

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head.encode())
        while not select.select([connection], [], [], 0.01)[0]:
            connection.sendall(b" ")

    access = GitHubAccess(api_url=f"http://127.0.0.1:{listen(drip)}", repository="acme/shop", token=TOKEN)
    with pytest.raises(IncidentsError) as refused:
        list(Api(access, Patience(0.3)).pages("issues"))

    assert refused.value.what == "GitHub: GET /repos/acme/shop/issues: the answer was cut off"


def test_an_answer_is_not_unpacked(answers: Answers) -> None:
    """What is a kilobyte on the way may be a gigabyte in memory."""
    assert list(answers(says("[{}]", 200, "Content-Encoding: gzip")).pages("issues")) == [{}]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ImportError: Using SOCKS proxy"),
        ("HTTPS_PROXY", "gopher://127.0.0.1:9", "ValueError: Unknown scheme for proxy URL"),
        ("SSL_CERT_FILE", "/none", "FileNotFoundError: [Errno 2] No such file or directory"),
    ],
)
def test_a_variable_that_is_of_no_use_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str) -> None:
    """With what to fix, instead of a traceback."""
    monkeypatch.setenv(name, value)
    access = GitHubAccess(api_url="https://127.0.0.1:9", repository="acme/shop", token=TOKEN)
    with pytest.raises(IncidentsError, match="no request can be sent from here") as refused:
        Api(access, Patience(9)).call("POST", "issues", {})

    assert refused.value.why.startswith(why)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Issues are disabled for this repo", "issues are disabled in this repository"),
        ("This issue was deleted", "the issue was deleted meanwhile"),
    ],
)
def test_an_issue_that_is_gone_is_told_apart(answers: Answers, said: str, why: str) -> None:
    """GitHub answers 410 to both, and only one of them is a setting."""
    calls = answers(says(f'{{"message": "{said}"}}', 410))
    with pytest.raises(IncidentsError) as refused:
        list(calls.pages("issues"))

    assert refused.value.why == why


def test_a_long_pause_is_told_once(waits: list[float]) -> None:
    """Otherwise a command would be silent for three minutes."""
    told: list[str] = []
    patience = Patience(100, clock=lambda: sum(waits), sleep=waits.append, tell=told.append)

    assert [patience.wait(attempt, asked_s) for attempt, asked_s in ((0, None), (1, 20.0), (2, 20.0))] == [True] * 3
    assert told == [f"not done yet: trying again for {100 - waits[0]:.0f} s at most"]
