"""The API: patterns, filters, pages and verdicts, and nothing without the token."""

import base64
from typing import Any

import httpx
import pytest
from harness.instance import TOKEN, Instance, Make
from harness.logfiles import LogFolder

READING = ["/", "/dashboard", "/autonomous/status", "/errors/recent", "/errors/critical", "/errors/fixable"]
READING += ["/errors/patterns", "/errors/v1:0", "/gaps", "/scans", "/metrics"]
WRITING = ["/monitor/scan", "/errors/v1:0/resolve", "/errors/v1:0/ignore", "/deploys"]
FIELDS = {"enabled", "running", "auto_fix_enabled", "scan_interval", "last_scan", "errors_since_last_fix"}


@pytest.fixture(scope="module")
def seen(module_monitor: Instance, module_logs: LogFolder) -> Instance:
    """A monitor that has found patterns of several kinds."""
    module_logs.fail(5, where="pay")
    module_logs.fail(3, where="ship", name="worker.log", kind="KeyError")
    module_logs.write("CRITICAL disk is full: No space left on device\n", "worker.log")
    module_monitor.scan()
    return module_monitor


def ask(instance: Instance, method: str, path: str, authorization: str) -> httpx.Response:
    return instance.client.request(method, path, headers={"Authorization": authorization})


@pytest.mark.parametrize(
    ("method", "path"), [*(("GET", path) for path in READING), *(("POST", path) for path in WRITING)]
)
def test_nothing_without_the_token(seen: Instance, method: str, path: str) -> None:
    """Every address but health asks for the token, and says how."""
    answer = ask(seen, method, path, "Bearer wrong-but-long-enough")

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_needs_no_token_and_tells_nothing(seen: Instance) -> None:
    """An orchestrator may ask; it learns no text of a log."""
    answer = ask(seen, "GET", "/health", "")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "version": answer.json()["version"],
        "enabled": True,
        "running": True,
        "leader": True,
        "problems": 0,
    }


def test_a_browser_gives_the_token_as_its_password(seen: Instance) -> None:
    """Basic authentication reads, and never writes: another site's form could send it."""
    basic = "Basic " + base64.b64encode(f"anyone:{TOKEN}".encode()).decode()

    codes = [ask(seen, "GET", "/", basic).status_code, ask(seen, "POST", "/monitor/scan", basic).status_code]

    assert codes == [200, 401]


@pytest.mark.parametrize("authorization", ["", "Basic !!!", "Basic /w==", "Digest x", "Bearer"])
def test_broken_credentials_are_refused(seen: Instance, authorization: str) -> None:
    """A header that cannot be read is no token."""
    assert ask(seen, "GET", "/errors/recent", authorization).status_code == 401


def test_status_has_the_fields_that_programs_know(seen: Instance) -> None:
    """The fields of `/autonomous/status`, with true values."""
    status = seen.status()

    assert set(status) >= FIELDS
    assert (status["running"], status["total_patterns"], status["total_events"]) == (True, 3, 9)
    assert [source["source"] for source in status["sources"]] == ["files"]
    assert status["leader"] == status["instance"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"severity": "critical"}, {"disk"}, id="severity"),
        pytest.param({"service": "shop"}, {"pay"}, id="service"),
        pytest.param({"words": "SHIP"}, {"ship"}, id="words"),
        pytest.param({"state": "open"}, {"pay", "ship", "disk"}, id="state"),
        pytest.param({"category": "resource"}, {"disk"}, id="category"),
        pytest.param({"since": "2100-01-01T00:00:00Z"}, set(), id="since"),
        pytest.param({"order": "events", "limit": 1}, {"pay"}, id="order"),
        pytest.param({"order": "events", "limit": 1, "offset": 1}, {"ship"}, id="offset"),
        pytest.param({"offset": 100}, set(), id="past-the-end"),
    ],
)
def test_patterns_are_filtered_and_paged(seen: Instance, asked: dict[str, Any], found: set[str]) -> None:
    """Each filter, alone."""
    patterns = seen.get("/errors/patterns", **asked)["patterns"]

    assert {word for one in patterns for word in ("pay", "ship", "disk") if word in one["message"]} == found


def test_a_page_says_how_many_there_are(seen: Instance) -> None:
    """The total is that of the question, also behind the last page."""
    pages = [seen.get("/errors/patterns", limit=2, offset=offset) for offset in (0, 2, 4)]

    assert [(page["total"], len(page["patterns"])) for page in pages] == [(3, 2), (3, 1), (3, 0)]


@pytest.mark.parametrize(
    "query",
    [
        "severity=urgent",
        "category=no-such",
        "severity=high&severity=critical",
        "limit=0",
        "limit=201",
        "offset=-1",
        "order=random",
        "since=soon",
        "no=such",
        "words=" + 201 * "x",
        "words=%00",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(seen: Instance, query: str) -> None:
    """An unknown or unusable parameter is named, not ignored."""
    answer = seen.client.get(f"/errors/patterns?{query}")

    problem = answer.json()["error"]["details"]["problems"][0]
    assert (answer.status_code, problem["at"].rpartition(".")[2]) == (422, query.partition("=")[0])


@pytest.mark.parametrize(
    "question",
    ["errors/critical?severity=low", "errors/fixable?fixable=false", "errors/recent?order=events", "gaps?offset=-1",
     "scans?page=2", "dashboard?severity=urgent"],
)  # fmt: skip
def test_no_list_leaves_out_what_was_asked(seen: Instance, question: str) -> None:
    """A list that cannot have what a parameter asks for says so, and does not answer another question."""
    answer = seen.client.get(f"/{question}")

    name = question.partition("?")[2].partition("=")[0]
    assert (answer.status_code, answer.json()["error"]["details"]["problems"][0]["at"]) == (422, f"query.{name}")


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [("GET", "/nothing", (404, "not_found", None)), ("POST", "/health", (405, "method_not_allowed", "GET"))],
)
def test_what_no_route_takes_is_an_error_like_others(
    seen: Instance, method: str, path: str, told: tuple[int, str, str | None]
) -> None:
    """A wrong address and a wrong method have the shape of every error."""
    answer = seen.client.request(method, path)

    assert (answer.status_code, answer.json()["error"]["code"], answer.headers.get("allow")) == told


@pytest.mark.parametrize("body", [b'{"service": "\xff"}', b"[" * 100_000], ids=["not-utf-8", "nested"])
def test_a_body_that_cannot_be_decoded_is_refused_as_one(seen: Instance, body: bytes) -> None:
    """The address is right, and the error does not say otherwise."""
    answer = seen.client.post("/deploys", content=body, headers={"Content-Type": "application/json"})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "invalid_request")
    assert error["details"]["problems"] == [{"at": "body", "problem": "There was an error parsing the body"}]


def test_lists_are_paged(seen: Instance) -> None:
    """Scans and gaps say how many there are, and give the part that is asked for."""
    scans, behind = seen.get("/scans", limit=1), seen.get("/scans", limit=1, offset=1000)

    assert (len(scans["scans"]), scans["total"] >= 1, behind["scans"], behind["total"] >= 1) == (1, True, [], True)
    assert seen.get("/gaps", offset=3) == {"total": 0, "limit": 50, "offset": 3, "gaps": []}


def test_critical_and_fixable_are_filters(seen: Instance) -> None:
    """Both lists hold what their names say, and nothing else."""
    critical = seen.get("/errors/critical")["patterns"]
    fixable = seen.get("/errors/fixable")["patterns"]

    assert {one["severity"] for one in critical} == {"critical"}
    assert {one["fixable"] for one in fixable} == {True}


def test_severity_follows_rate_and_spread(monitor: Make, logs: LogFolder) -> None:
    """Sixty events within a minute are critical for a day, two services high, and the pattern says why."""
    for number in range(60):
        logs.write(f"2026-01-02 03:04:{number:02},000 ERROR shop: too many of them\n", "rate.log")
    logs.write("2026-01-02 23:04:00,000 ERROR shop: too many of them\n", "rate.log")
    for name in ("spread.log", "wide.log"):
        logs.write("2026-01-02 03:04:00,000 ERROR shop: spread out\n", name)
    one = monitor()
    one.scan()

    many, spread = one.patterns(words="too many")[0], one.patterns(words="spread out")[0]
    assert (many["severity"], spread["severity"]) == ("critical", "high")
    assert many["reason"].endswith("; severity: critical, as 60 events came within a minute")
    assert spread["reason"].endswith("; severity: high, as 2 services have it")


def test_a_pattern_has_its_minutes(seen: Instance) -> None:
    """The sum over the minutes is the pattern's count."""
    first = seen.patterns()[0]

    one = seen.get(f"/errors/{first['fingerprint']}")

    assert (sum(row["events"] for row in one["occurrences"]), one["events"]) == (5, 5)
    assert {(row["source"], row["service"]) for row in one["occurrences"]} == {("files", "shop")}


@pytest.mark.parametrize("fingerprint", ["v1:none", "%00", "x" * 300, "' OR 1=1 --"])
def test_an_unknown_pattern_is_not_found(seen: Instance, fingerprint: str) -> None:
    """Whatever is asked for."""
    assert seen.client.get(f"/errors/{fingerprint}").status_code == 404


def test_metrics_are_prometheus_text(seen: Instance) -> None:
    """The counters, without a text of a log in a label."""
    text = seen.client.get("/metrics").text

    assert 'error_monitor_stored_events{category="' in text
    assert ("error_monitor_leader 1.0" in text, "pay" in text) == (True, False)


def test_the_dashboard_as_json(seen: Instance) -> None:
    """The page's content for programs: patterns with 24 hours each."""
    found = seen.get("/dashboard")

    assert (found["total"], found["services"]) == (3, ["shop", "worker"])
    assert {len(one["hours"]) for one in found["patterns"]} == {24}
    assert sum(sum(one["hours"]) for one in found["patterns"]) == 9


def test_the_dashboard_takes_the_filters_of_the_page(seen: Instance) -> None:
    """Both show the patterns that were asked for."""
    found = seen.get("/dashboard", severity="critical", limit=1)

    assert ([one["severity"] for one in found["patterns"]], found["total"], found["limit"]) == (["critical"], 1, 1)


def test_scans_are_listed(seen: Instance) -> None:
    """Each scan with its trigger and what it found."""
    scans = seen.get("/scans")["scans"]

    assert {scan["trigger"] for scan in scans} <= {"start", "manual", "interval"}
    assert sum(scan["events"] for scan in scans) == 9


def test_a_resolved_pattern_that_comes_back_is_regressed(monitor: Make, logs: LogFolder) -> None:
    """Resolved, seen again: regressed. Ignored, seen again: still ignored."""
    one = monitor()
    logs.fail(1, where="pay")
    logs.fail(1, where="ship")
    one.scan()
    prints = {pattern["message"]: pattern["fingerprint"] for pattern in one.patterns()}
    one.client.post(f"/errors/{prints['no pay']}/resolve")
    one.client.post(f"/errors/{prints['no ship']}/ignore")
    logs.fail(1, where="pay")
    logs.fail(1, where="ship")
    one.scan()

    assert {pattern["message"]: pattern["state"] for pattern in one.patterns()} == {
        "no pay": "regressed",
        "no ship": "ignored",
    }


def test_a_verdict_on_an_unknown_pattern_is_not_found(seen: Instance) -> None:
    """Nothing is made by a verdict; a word that is no verdict is refused."""
    codes = [seen.client.post(f"/errors/v1:none/{word}").status_code for word in ("resolve", "delete")]

    assert codes == [404, 422]


def test_what_is_new_since_the_deploy_comes_first(monitor: Make, logs: LogFolder) -> None:
    """A pattern that was first seen after the newest deploy of its service is new, and stands first."""
    one = monitor()
    logs.fail(9, where="old")
    one.scan()
    assert one.client.post("/deploys", json={"service": "shop", "commit": "0a1b2c3"}).status_code == 201
    logs.fail(1, where="fresh")
    one.scan()

    listed = one.get("/errors/patterns")["patterns"]
    assert [(pattern["message"], pattern["is_new"]) for pattern in listed] == [("no fresh", True), ("no old", False)]


@pytest.mark.parametrize(
    "deploy", [{}, {"service": "shop"}, {"service": "shop", "commit": "HEAD"}, {"service": "\0", "commit": "0a1b2c3"}]
)
def test_a_deploy_that_is_not_one_is_refused(seen: Instance, deploy: dict[str, str]) -> None:
    """A deploy has a service and a commit."""
    assert seen.client.post("/deploys", json=deploy).status_code == 422
