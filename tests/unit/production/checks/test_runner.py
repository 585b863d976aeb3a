"""The gate, retries and deadlines: what a run makes of its checks."""

import base64
import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.samples.reports import only

from testbay.production.checks.report import Report, from_json

Ask = Callable[..., Report]
Listen = Callable[[Callable[[socket.socket], None]], int]


class Answers:
    """A server that says one thing after the other, and the last one from then on; None hangs up."""

    def __init__(self, *bodies: Any, status: int = 200) -> None:
        self._bodies = list(bodies)
        self._status = status

    def __call__(self, client: socket.socket) -> None:
        """One exchange."""
        client.recv(65536)
        body = self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]
        if body is not None:
            text = json.dumps(body)
            client.sendall(f"HTTP/1.1 {self._status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


HEALTH = '[[check]]\nid = "health"\nkind = "http"\nget = "/"\nexpect = ["json.ok"]\n'
GATE = """
[target.here]
base_url = "http://127.0.0.1:PORT"
live = { url = "/version", expect = "json.commit == expected_sha", every = "10ms", give_up = "%s" }
"""


def test_a_retry_is_reported(ask: Ask, listen: Listen) -> None:
    """Green at the second attempt is green, and visible."""
    found = only(ask(HEALTH + "attempts = 2", listen(Answers({"ok": False}, {"ok": True}))))

    assert (found.verdict, found.attempts) == ("pass", 2)
    assert found.evidence == ("attempt 1: json.ok: not so: json.ok = False",)


def test_the_last_attempt_decides(ask: Ask, listen: Listen) -> None:
    """And the ones before it are told."""
    found = only(ask(HEALTH + "attempts = 2", listen(Answers({"ok": False}, {"no": 1}))))

    assert (found.verdict, found.said) == ("fail", "json.ok: json has no 'ok'; it has: no")
    assert found.evidence[0] == "attempt 1: json.ok: not so: json.ok = False"


def test_a_check_is_asked_for_each(ask: Ask, listen: Listen) -> None:
    """An instance of it for each value."""
    lines = '[[check]]\nid = "routes"\nkind = "http"\neach = ["/a", "/b?x={1}"]\nget = "{each}"\nexpect = ["json.ok"]\n'
    found = ask(lines, listen(Answers({"ok": True})))

    assert [(r.check, r.instance, r.said) for r in found.results] == [
        ("routes", "/a", "GET /a → 200"),
        ("routes", "/b?x={1}", "GET /b?x={1} → 200"),
    ]


def test_the_gate_waits_for_the_expected_commit(ask: Ask, listen: Listen) -> None:
    """An old build, a restart in between, then the new one: only then is anything else asked."""
    server = Answers({"commit": "old"}, None, *[{"commit": "new"}] * 3, {"ok": True})
    found = ask(GATE % "5s" + HEALTH, listen(server), expected_commit="new")

    assert [(r.check, r.verdict, r.attempts) for r in found.results] == [("live", "pass", 3), ("health", "pass", 1)]
    assert (found.commit, found.expected_commit, found.exit_code) == ("new", "new", 0)


def test_the_gate_is_not_open_while_the_old_build_answers_in_turn(ask: Ask, listen: Listen) -> None:
    """A load balancer leads to one instance and then to another, of which not each is replaced."""
    turns = [{"commit": "new"}, {"commit": "old"}]
    found = only(ask(GATE % "5ms", listen(Answers(*turns * 9)), expected_commit="new"))
    later = only(ask(GATE % "5s", listen(Answers(*turns * 2, {"commit": "new"})), expected_commit="new"))

    assert (found.verdict, later.verdict, later.attempts) == ("stale", "pass", 3)
    assert found.evidence[1] == "answered in turn: new 1 time, old 1 time"


def test_what_passes_on_an_old_build_is_stale(ask: Ask, listen: Listen) -> None:
    """A green check of yesterday's build says nothing about today's; a red one is still red."""
    broken = HEALTH.replace("health", "other").replace("json.ok", "json.no")
    found = ask(GATE % "20ms" + HEALTH + broken, listen(Answers({"commit": "old", "ok": True})), expected_commit="new")
    said = {result.check: result.said for result in found.results}

    assert {r.check: r.verdict for r in found.results} == {"live": "stale", "health": "stale", "other": "fail"}
    assert said["health"] == "passed, but not on the expected build: GET / → 200"
    assert said["live"].startswith("json.commit == expected_sha: 'old' is not == 'new' (asked ")
    assert found.commit == "old"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"version": 1}, "json.commit == expected_sha: json has no 'commit'; it has: version (asked "),
        ({"commit": None}, "json.commit == expected_sha: None is not == 'new' (asked "),
        (None, "GET /version: no answer: "),
    ],
)
def test_a_build_that_cannot_be_told_is_not_let_through(ask: Ask, listen: Listen, body: Any, said: str) -> None:
    """The gate fails closed."""
    found = only(ask(GATE % "20ms", listen(Answers(body)), expected_commit="new"))

    assert found.verdict == "fail"
    assert found.said.startswith(said)


def test_that_the_gate_waits_is_told_once(ask: Ask, listen: Listen) -> None:
    """Also in a log without a terminal: else it would be silent for ten minutes."""
    told: list[str] = []
    served = listen(Answers({"commit": "old"}, {"commit": "old"}, {"commit": "new"}))
    found = only(ask(GATE % "5s", served, expected_commit="new", tell=told.append))

    assert found.verdict == "pass"
    assert told == ["live: waiting for new, old answers; asking again for 5 s at most"]


def test_an_abbreviated_commit_is_said_to_be_one(ask: Ask, listen: Listen) -> None:
    """It never equals the whole one, and ten minutes would be waited for it in silence."""
    told: list[str] = []
    port = listen(Answers({"commit": "4f2"}, {"commit": "4f2a91c"}))
    found = only(ask(GATE % "5s", port, expected_commit="4f2a91c", tell=told.append))
    never = only(ask(GATE % "5ms", listen(Answers({"commit": "4f2"})), expected_commit="4f2a91c"))

    hint = "; one of them is abbreviated: both need all digits"
    assert found.verdict == "pass"
    assert told == [f"live: waiting for 4f2a91c, 4f2 answers{hint}; asking again for 5 s at most"]
    assert never.said == f"json.commit == expected_sha: '4f2' is not == '4f2a91c'{hint} (asked once)"
    shouted = only(ask(GATE % "5ms", listen(Answers({"commit": " 4F2A91C"})), expected_commit="4f2a91c")).said
    assert "; they differ in white space or the case of letters alone" in shouted


def test_asked_once_is_said_so(ask: Ask, listen: Listen) -> None:
    """When there was no time to wait."""
    found = only(ask(GATE % "5ms", listen(Answers({"commit": "old"})), expected_commit="new"))

    assert found.said == "json.commit == expected_sha: 'old' is not == 'new' (asked once)"


def test_without_an_expected_commit_the_gate_says_what_answers(ask: Ask, listen: Listen) -> None:
    """It is skipped with its reason, not passed."""
    found = only(ask(GATE % "5s", listen(Answers({"commit": "abc"})), phase="scheduled"))

    assert (found.verdict, found.said) == (
        "skip",
        "which commit should answer is not known: name it with --commit; abc answers",
    )


def test_after_a_deploy_the_expected_commit_has_to_be_known(ask: Ask, listen: Listen) -> None:
    """Or everything that passes could be yesterday's. It need not be: it is no stale build, but an error of ours."""
    found = ask(GATE % "5s" + HEALTH, listen(Answers({"commit": "abc", "ok": True})))

    assert [(r.check, r.verdict) for r in found.results] == [("live", "error"), ("health", "error")]
    assert found.results[1].said == "passed, but on an unknown build: GET / → 200"


def test_no_proxy_leads_to_this_machine(ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is set for the rest of the world."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert only(ask(HEALTH, listen(Answers({"ok": True})))).verdict == "pass"


def test_a_proxy_leads_to_the_rest_of_the_world(ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told the whole address."""
    heard: list[bytes] = []

    def proxy(client: socket.socket) -> None:
        heard.append(client.recv(65536))
        client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"ok": true}')

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listen(proxy)}")
    found = only(ask('[target.here]\nbase_url = "http://shop.invalid"\n' + HEALTH))

    assert (found.verdict, heard[0].partition(b"\r\n")[0]) == ("pass", b"GET http://shop.invalid/ HTTP/1.1")


NO_PROXY = "the proxy that HTTP_PROXY or HTTPS_PROXY names does not connect"
HUNG_UP = "the proxy that HTTP_PROXY or HTTPS_PROXY names closed the connection without an answer"
USELESS = "the proxy that HTTP_PROXY or HTTPS_PROXY names cannot be used: it has to be http://HOST:PORT"
WEBSOCKET = '[[check]]\nid = "echo"\nkind = "websocket"\nurl = "/"\nattempts = 1\nsteps = [{ send = "x" }]'


@pytest.mark.parametrize(
    ("proxy", "found"),
    [
        ("http://127.0.0.1:9", ("error", NO_PROXY)),
        ("http://u:pa55word@nowhere.invalid", ("error", NO_PROXY)),
        ("http://127.0.0.1:{407}", ("error", NO_PROXY)),
        ("http://127.0.0.1:{502}", ("fail", "no answer: the proxy answers for it, with status 502")),
        ("http://127.0.0.1:{000}", ("error", HUNG_UP)),
        ("u:pa55word@127.0.0.1:9", ("error", USELESS)),
        ("http://", ("error", USELESS)),
    ],
    ids=["refused", "unknown", "login", "bad-gateway", "hangs-up", "no-address", "no-host"],
)
def test_a_proxy_that_does_not_work_is_no_outage(
    ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch, proxy: str, found: tuple[str, str]
) -> None:
    """Of the target, that is; and the proxy's password is not shown."""

    def refuse(client: socket.socket) -> None:
        client.recv(65536)
        if "000" not in proxy:
            client.sendall(f"HTTP/1.1 {proxy[-4:-1]} No\r\nContent-Length: 0\r\n\r\n".encode())

    address = f"http://127.0.0.1:{listen(refuse)}" if "{" in proxy else proxy
    monkeypatch.setenv("HTTPS_PROXY", address)
    target = '[target.here]\nbase_url = "https://shop.invalid"\n'
    http, stream = ask(target + HEALTH + "attempts = 1\n" + WEBSOCKET).results

    assert (http.verdict, http.said.removeprefix("GET /: ")) == found
    assert (stream.verdict, "pa55word" in f"{http}{stream}") == (found[0], False)


def test_a_proxy_that_wants_a_login_is_no_outage(ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS its refusal comes in the place of the target's answer."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listen(Answers({}, status=407))}")
    found = only(ask('[target.here]\nbase_url = "http://shop.invalid"\n' + HEALTH + "attempts = 1\n"))

    assert (found.verdict, found.said) == ("error", f"GET /: {NO_PROXY}")


def test_a_plain_proxy_that_hangs_up_is_no_outage(ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS it takes the request itself, and is asked to say so where the target does not answer."""

    def hang_up(client: socket.socket) -> None:
        client.recv(65536)

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listen(hang_up)}")
    found = only(ask('[target.here]\nbase_url = "http://shop.invalid"\n' + HEALTH + "attempts = 1\n"))

    assert (found.verdict, found.said) == ("error", f"GET /: {HUNG_UP}")


@pytest.mark.parametrize("proxy", ["https://127.0.0.1:{}", "socks5://127.0.0.1:{}", "127.0.0.1:{}", "http://:{}"])
def test_a_proxy_that_checks_cannot_ask_is_not_passed_over(
    ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """The target would be asked directly, and pass, where no one else can reach it without the proxy."""
    monkeypatch.setenv("HTTP_PROXY", proxy.format(9))
    port = listen(Answers({"ok": True}))
    found = only(ask(f'[target.here]\nbase_url = "http://127.0.0.2:{port}"\n' + HEALTH + "attempts = 1\n"))

    assert (found.verdict, found.said) == ("error", f"GET /: {USELESS}")


def test_a_target_without_its_variable_is_an_error(ask: Ask) -> None:
    """Nothing is asked, nothing is green."""
    target = '[target.here]\nbase_url = "${BASE_URL}"\nheaders = { Authorization = "Bearer ${TOKEN}" }\n'
    found = only(ask(target + HEALTH, environ={"BASE_URL": ""}))

    assert (found.verdict, found.said) == ("error", "BASE_URL, TOKEN is not set, and the target needs it")


def test_a_variable_that_holds_no_address_is_an_error(ask: Ask) -> None:
    """It is no outage: nobody was asked. What it holds may be a secret."""
    target = '[target.here]\nbase_url = "${BASE_URL}"\n'
    form = "it begins with http:// or https://, and has no ? or #"
    found = [only(ask(target + HEALTH, environ={"BASE_URL": url})) for url in ("canary:8000", "http://[canary")]

    assert [(result.verdict, result.said) for result in found] == [
        ("error", f"the target's base_url, ${{BASE_URL}}, is not an address: {form}"),
        ("error", "GET /: cannot be sent: Invalid IPv6 URL"),
    ]


def test_a_targets_own_secrets_are_not_shown(ask: Ask, listen: Listen) -> None:
    """A token of its headers, though the answer repeats it, and a short one as well."""
    target = '[target.here]\nbase_url = "http://127.0.0.1:PORT"\nheaders = { A = "Bearer ${TOKEN}" }\n'
    body = {"sent": "Bearer t0k3n"}
    found = only(ask(target + HEALTH + "attempts = 1", listen(Answers(body)), environ={"TOKEN": "t0k3n"}))

    assert found.evidence == ('GET / → 200 of no type, 24 bytes: {"sent": "Bearer ***"}',)


def test_a_password_in_an_address_is_not_shown(ask: Ask, listen: Listen) -> None:
    """Which nobody named, but the answer of a health page may have."""
    found = only(ask(HEALTH + "attempts = 1", listen(Answers({"ok": "postgres://shop:pa55word@db:5432/shop?x=y@z"}))))

    assert "'postgres://***@db:5432/shop?x=y@z'" in found.said
    assert "pa55word" not in str(found)


def test_a_slow_median_is_a_verdict_of_its_own(ask: Ask, listen: Listen) -> None:
    """The right answer passes, and is not asked for again; every probe is in its result for whoever compares."""
    server = Answers(*[{"ok": True}] * 4, {"ok": False})
    found = ask(HEALTH + "latency = { probes = 4, hard_ms = 0.001 }", listen(server))

    assert [(r.check, r.kind, r.verdict, r.attempts, len(r.latencies_s)) for r in found.results] == [
        ("health", "http", "pass", 1, 4),
        ("health/latency", "latency", "fail", 0, 0),
    ]
    assert re.fullmatch(r"median of 4 probes is [\d.]+ ms, more than hard_ms = 0.001", found.results[1].said)


def test_who_is_slow_on_an_old_build_is_slow(ask: Ask, listen: Listen) -> None:
    """And who is fast there has shown nothing; an answer that was wrong has no time worth judging."""
    server = Answers({"commit": "old", "ok": True})
    latency = "latency = { probes = 1, hard_ms = %s }\n"
    fast, wrong = (HEALTH.replace("health", name) for name in ("fast", "wrong"))
    lines = HEALTH + latency % 0.001 + fast + latency % 60000 + wrong.replace("json.ok", "json.no") + latency % 0.001
    found = ask(GATE % "20ms" + lines, listen(server), expected_commit="new")

    assert {r.check: r.verdict for r in found.results} == {
        **dict.fromkeys(["live", "health", "fast", "fast/latency"], "stale"),
        **dict.fromkeys(["health/latency", "wrong"], "fail"),
    }


def test_a_commit_that_floods_stays_a_line(ask: Ask, listen: Listen) -> None:
    """And the report with it can be read again."""
    found = ask(GATE % "20ms", listen(Answers({"commit": "x\n" * 9999})), expected_commit="new")

    assert (len(found.commit), found.commit[:6], from_json(found.as_json())) == (500, "x\\nx\\n", found)


def test_a_secret_of_the_manifest_is_not_shown(ask: Ask, listen: Listen) -> None:
    """Though no check names it."""
    answers = Answers({"key": "sk-0123456789abcdef"})
    environ = {"OPENAI_API_KEY": "sk-0123456789abcdef"}
    found = only(ask(HEALTH + "attempts = 1", listen(answers), environ=environ, secrets=["OPENAI_*"]))

    assert found.evidence == ('GET / → 200 of no type, 30 bytes: {"key": "***"}',)


def test_a_cookie_stays_with_the_check_that_got_it(ask: Ask, listen: Listen) -> None:
    """Else it would depend on what else is asked at that moment who is logged in: here the gate gets one."""
    heard: list[str] = []

    def converse(client: socket.socket) -> None:
        heard.append(client.recv(65536).decode())
        head = "HTTP/1.1 200 X\r\nSet-Cookie: session=1; Path=/\r\nConnection: close\r\n\r\n"
        client.sendall(f'{head}{{"commit": "new", "ok": true}}'.encode())

    found = ask(GATE % "5s" + HEALTH, listen(converse), expected_commit="new")

    assert [result.verdict for result in found.results] == ["pass", "pass"]
    assert [request.lower().count("cookie: ") for request in heard] == [0, 0, 0, 0]


def test_a_password_of_the_address_is_hidden_as_it_is_sent(ask: Ask, listen: Listen) -> None:
    """In the address it is quoted, in the header it is not: a server that repeats the header tells nobody."""

    def converse(client: socket.socket) -> None:
        sent = re.findall(r"Basic \S+", client.recv(65536).decode())[0]
        client.sendall(f"HTTP/1.1 500 X\r\nContent-Length: {len(sent)}\r\n\r\n{sent}".encode())

    target = '[target.here]\nbase_url = "http://me:p%40ss%2Fword-0123@127.0.0.1:PORT"\n'
    found = ask(target + HEALTH + "attempts = 1", listen(converse))

    assert base64.b64encode(b"me:p@ss/word-0123").decode() not in found.as_json()
    assert "Basic ***" in found.as_json()
