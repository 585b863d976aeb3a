"""Journeys on a small real service: what is made is cleaned, what is secret is not shown, what writes is allowed."""

import json
import os
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from tests.served import Handler, running

from testbay.errors import InterruptedRunError
from testbay.manifest.checks import CheckTables
from testbay.production.checks.report import Report
from testbay.production.checks.runner import names

Ask = Callable[..., Report]
TOKEN = "tok-5f2c9d0e-very-secret"
SESSION = "s-7c41b6e2a9"
WRITABLE = '[target.here]\nbase_url = "http://127.0.0.1:PORT"\nwrites = true\n'

JOURNEY = """
[[check]]
id = "signup"
kind = "journey"
writes = true
timeout = "2s"
[[check.step]]
post = "/users"
json = { email = "probe+{run.id}@probe.invalid", password = "{secret.PASSWORD}", age = 5 }
expect = ["status == 201"]
capture = { user_id = "json.id" }
[[check.step]]
post = "/login"
form = { id = "{user_id}" }
expect = ["status == 200"]
capture_secret = { token = "json.token" }
[[check.step]]
get = "/users/{user_id}"
headers = { Authorization = "Bearer {token}", X-User = "{user_id}" }
expect = ["status == 200", "json.id == user_id"]
[[check.cleanup]]
delete = "/users/{user_id}"
headers = { Authorization = "Bearer {token}" }
expect = ["status in (200, 204, 404)"]
"""


class Users:
    """A service that keeps users, and can be made to misbehave: a path to an answer of another kind."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.users: set[str] = set()
        self.instead: dict[str, tuple[int, Any]] = {}
        self.hold = threading.Event()
        self.port = 0

    def answer(self, method: str, path: str, body: str, authorization: str) -> tuple[int, Any]:
        """Status and JSON."""
        self.seen.append((method, path))
        self.bodies.append(body)
        if path == "/slow":
            self.hold.wait(5)
        if path in self.instead:
            return self.instead[path]
        if path == "/users":
            self.users.add("7")
            return 201, {"id": "7"}
        if path == "/login":
            return 200, {"token": TOKEN}
        if authorization != f"Bearer {TOKEN}":
            return 401, {"error": "who?", "sent": authorization}
        name = path.rpartition("/")[2]
        if method == "DELETE":
            self.users.discard(name)
        return 200, {"id": name}


class Interrupting(set[str]):
    """Somebody presses Ctrl-C at the moment in which one is removed."""

    def discard(self, name: object) -> None:
        """The answer comes when the signal has."""
        if name == "7":
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.2)
        super().discard(str(name))


@pytest.fixture
def users() -> Iterator[Users]:
    """The service, serving."""
    made = Users()

    class Answering(Handler):
        def _serve(self) -> None:
            authorization = self.headers.get("authorization", "")
            status, data = made.answer(self.command, self.path, self.body().decode(), authorization)
            cookie = {"Set-Cookie": f"session={SESSION}; HttpOnly"} if self.path == "/login" else {}
            self.reply(status, json.dumps(data).encode(), cookie)

        do_GET = do_POST = do_DELETE = _serve

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Answering)) as made.port:
        yield made


@pytest.fixture
def go(ask: Ask, users: Users) -> Callable[..., Report]:
    """The journey on that service."""
    return lambda text=WRITABLE + JOURNEY, **more: ask(
        text, users.port, environ={"PASSWORD": "pw-0123456789", "PATH": ""}, **more
    )


def told(report: Report) -> dict[str, tuple[str, str]]:
    """Verdict and words of each result."""
    return {result.check: (result.verdict, result.said) for result in report.results}


def test_a_journey_passes_and_cleans(go: Callable[..., Report], users: Users) -> None:
    """Two results: of the journey, and of its cleanup."""
    found = go()

    assert told(found) == {"signup": ("pass", "3 steps"), "signup/cleanup": ("pass", "cleaned")}
    assert (users.users, users.seen[-1]) == (set(), ("DELETE", "/users/7"))


TWO_CLEANUPS = """
[[check.cleanup]]
delete = "/users/{user_id}/files"
headers = { Authorization = "Bearer {token}" }
expect = ["status == 200"]
"""


def test_an_interrupt_does_not_cut_a_cleanup_short(
    go: Callable[..., Report], users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the journey itself: what is still to be removed is removed first."""
    monkeypatch.setattr(users, "users", Interrupting())
    with pytest.raises(InterruptedRunError, match="interrupted by SIGINT"):
        go(WRITABLE + JOURNEY + TWO_CLEANUPS)

    assert users.seen[-2:] == [("DELETE", "/users/7"), ("DELETE", "/users/7/files")]


def test_what_is_sent_is_filled_in(go: Callable[..., Report], users: Users) -> None:
    """The run's tag, a secret, and a number that stays one."""
    go()
    sent = json.loads(users.bodies[0])

    assert sent["email"].startswith("probe+testbay-2")
    assert (sent["password"], sent["age"]) == ("pw-0123456789", 5)
    assert users.bodies[1] == "id=7"


def test_a_number_that_was_captured_is_a_text_in_a_header(go: Callable[..., Report], users: Users) -> None:
    """Elsewhere it keeps its type."""
    users.instead |= {"/users": (201, {"id": 7}), "/users/7": (200, {"id": 7})}

    assert told(go())["signup"] == ("pass", "3 steps")


def test_a_failing_step_names_itself_and_is_cleaned_after(go: Callable[..., Report], users: Users) -> None:
    """The cleanup always runs, with what was captured by then."""
    users.instead["/users/7"] = (500, {"error": "boom"})
    found = told(go())

    assert found["signup"] == ("fail", "step 3 of 3: status == 200: 500 is not == 200")
    verdict, said = found["signup/cleanup"]
    assert verdict == "fail"
    assert said.endswith("may be left behind: step 1 of 1: status in (200, 204, 404): 500 is not in (200, 204, 404)")


def test_what_was_made_and_never_named_is_an_error_of_its_own(go: Callable[..., Report], users: Users) -> None:
    """Somebody has to look: the run's tag says for what."""
    users.instead["/users"] = (201, {"uid": 7})
    found = told(go())

    assert found["signup"] == ("fail", "step 1 of 3: cannot capture user_id: json.id: json has no 'id'; it has: uid")
    assert found["signup/cleanup"][0] == "error"
    assert found["signup/cleanup"][1].endswith("may be left behind: token, user_id never captured")


def test_what_was_sent_and_never_answered_may_be_left(go: Callable[..., Report], users: Users) -> None:
    """A time-out says nothing about what the service did."""
    found = told(go(WRITABLE + SLOW.replace('post = "/users"', 'post = "/slow"'), within_s=0.5))
    users.hold.set()

    assert found["slow/cleanup"][0] == "error"
    assert found["slow/cleanup"][1].endswith("may be left behind: user_id never captured")


@pytest.mark.parametrize("found", [{"a": 1}, None, ""])
def test_only_a_text_or_a_number_can_be_captured(go: Callable[..., Report], users: Users, found: Any) -> None:
    """Anything else would be sent as something that nobody meant."""
    users.instead["/users"] = (201, {"id": found})

    verdict, said = told(go())["signup"]

    assert verdict == "fail"
    assert said.startswith("step 1 of 3: cannot capture user_id: ")
    assert said.endswith(" is not a text or number, or is empty")


def test_where_nothing_was_reached_nothing_is_cleaned(ask: Ask) -> None:
    """A deployment that is down has not made anything."""
    found = ask(WRITABLE + JOURNEY, 9, environ={"PASSWORD": "pw-0123456789"})

    assert told(found) == {
        "signup": ("fail", "step 1 of 3: POST /users: connection refused"),
        "signup/cleanup": ("skip", "nothing was created, so there is nothing to clean up"),
    }


def test_a_secret_is_never_shown(go: Callable[..., Report], users: Users) -> None:
    """Not what was captured, came from the environment or is a session, though the service repeats them all."""
    repeated = {"password": "pw-0123456789", "token": TOKEN, "x": "tok-5f2c9d0e-ver", "session": SESSION}
    users.instead["/users/7"] = (401, repeated)
    text = go().as_json()

    assert "step 3 of 3: status == 200: 401" in text
    assert [part for part in (TOKEN, "pw-0123456789", "tok-5f2c", SESSION) if part in text] == []


def test_an_absent_secret_is_an_error_before_anything_is_sent(ask: Ask, users: Users) -> None:
    """An empty one is absent."""
    found = ask(WRITABLE + JOURNEY, users.port, environ={"PASSWORD": " "})

    assert told(found)["signup"] == (
        "error",
        "step 1 of 3: PASSWORD is not set, and {secret.PASSWORD} needs it",
    )
    assert users.seen == []


def test_a_target_that_is_read_only_is_not_written_to(go: Callable[..., Report], users: Users) -> None:
    """Allowed by the check and not by the target: skipped, with the reason, and nothing of the run is green."""
    found = go(JOURNEY)

    assert told(found) == {"signup": ("skip", "the check writes, and the target does not allow it (writes = true)")}
    assert (found.exit_code, users.seen) == (23, [])


def test_a_hostile_id_stays_in_its_path(go: Callable[..., Report], users: Users) -> None:
    """What a server answers is quoted where it becomes part of a path."""
    users.instead["/users"] = (201, {"id": "../admin?x=1#"})
    go()

    assert users.seen[2] == ("GET", "/users/..%2Fadmin%3Fx%3D1%23")


SLOW = """
[[check]]
id = "slow"
kind = "journey"
writes = true
[[check.step]]
post = "/users"
expect = ["status == 201"]
capture = { user_id = "json.id" }
[[check.step]]
get = "/slow"
expect = ["status == 200"]
[[check.cleanup]]
delete = "/users/{user_id}"
expect = ["status == 401"]
"""


def test_the_cleanup_has_time_of_its_own(go: Callable[..., Report], users: Users) -> None:
    """The time for the whole run being over is no reason to leave something behind."""
    found = told(go(WRITABLE + SLOW, within_s=0.5))
    users.hold.set()

    assert found == {
        "slow": ("error", "the time limit of the whole run was reached"),
        "slow/cleanup": ("pass", "cleaned"),
    }
    assert users.seen[-1] == ("DELETE", "/users/7")


def test_its_cleanup_has_a_name_of_its_own() -> None:
    """Known before it is done: an incident about it is told from one about nothing."""
    [journey] = CheckTables.model_validate(tomllib.loads(JOURNEY)).check

    assert names(journey) == ["signup", "signup/cleanup"]
