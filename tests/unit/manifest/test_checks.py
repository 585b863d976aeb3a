"""What a manifest may say of checks and targets; everything is found when it is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.load import load_manifest
from testbay.manifest.service import Manifest

Load = Callable[[str], Manifest]

HTTP = '[[check]]\nid = "a"\nkind = "http"\nget = "/"\nexpect = ["status == 200"]\n'
WS = '[[check]]\nid = "a"\nkind = "websocket"\nurl = "/ws"\n'
ENV = '[[check]]\nid = "a"\nkind = "env"\nrequired = ["A"]\n'
BOX = '[[check]]\nid = "a"\nkind = "container"\n'
STEP = '[[check.step]]\nget = "/"\nexpect = ["status == 200"]\n'
JOURNEY = '[[check]]\nid = "a"\nkind = "journey"\n' + STEP
TARGET = '[target.here]\nbase_url = "https://shop.example"\n'
LIVE = TARGET + "[target.here.live]\n"
RAILWAY = 'project = "7", environment = "${RAILWAY_ENVIRONMENT}", service = "8"'
METHODS = "get, head, post, put, patch, delete"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a manifest of this text."""
    (tmp_path / "tests/integration").mkdir(parents=True)

    def start(text: str) -> Manifest:
        (tmp_path / "testbay.toml").write_text(f'service = "shop"\n{text}\n', encoding="utf-8")
        return load_manifest(tmp_path)

    return start


def test_a_check_has_the_documented_defaults(load: Load) -> None:
    """Asked where the service is served, three times, ten seconds each, without writing."""
    check = load(HTTP).check[0]

    assert (check.asked_in, check.attempts, check.timeout, check.writes) == (
        ["pre-merge", "post-deploy", "scheduled"],
        3,
        10.0,
        False,
    )


def test_a_check_cuts_redis_off_by_the_name_that_needs_has(load: Load) -> None:
    """`redis` and `valkey` are one dependency, in a check too."""
    assert load('needs = ["redis"]\n' + HTTP + 'without = ["valkey"]').check[0].without == ["dragonfly"]


def test_a_manifest_has_defaults_of_its_own(load: Load) -> None:
    """For every check that does not say it itself, of any kind; what cuts a dependency off stays before a merge."""
    usual = '[defaults]\ntimeout = "5s"\nattempts = 2\nphases = ["scheduled"]\n'
    own = HTTP.replace('"a"', '"b"') + 'timeout = "1m"\nattempts = 4\nphases = ["post-deploy"]\n'
    cut = HTTP.replace('"a"', '"c"') + 'without = ["nats"]\n'
    checks = load(usual + HTTP + own + cut + JOURNEY.replace('"a"', '"d"') + ENV.replace('"a"', '"e"')).check

    assert [(check.timeout, check.attempts, *check.asked_in) for check in checks] == [
        (5, 2, "scheduled"),
        (60, 4, "post-deploy"),
        (5, 2, "pre-merge"),
        *[(5, 2, "scheduled")] * 2,
    ]


@pytest.mark.parametrize(("text", "phases"), [(ENV, ["pre-deploy"]), (BOX + 'containers = ["a"]', ["pre-deploy"])])
def test_configuration_and_containers_come_before_a_deploy(load: Load, text: str, phases: list[str]) -> None:
    """Unless they say otherwise."""
    assert load(text).check[0].asked_in == phases
    assert load(text + '\nphases = ["scheduled"]').check[0].asked_in == ["scheduled"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            HTTP.replace('"http"', '"htpp"'),
            "check.0: unknown kind 'htpp' (did you mean 'http'?); known: http, websocket",
        ),
        (HTTP.replace('kind = "http"', ""), 'check.0: kind is missing, e.g. kind = "http"'),
        (HTTP.replace("expect", "expct"), "unknown key 'check.0.expct' (did you mean 'expect'?)"),
        (
            HTTP + "latency = { prob = 1 }",
            "unknown key 'check.0.latency.prob' (did you mean 'probes'?) (the check 'a')",
        ),
        (WS + "steps = [{ recieve = '1s' }]", "unknown key 'check.0.steps.0.recieve'"),
        (JOURNEY + "jsn = 1", "unknown key 'check.0.step.0.jsn' (did you mean 'json'?)"),
        (TARGET + "baseurl = ''", "unknown key 'target.here.baseurl' (did you mean 'base_url'?)"),
        (HTTP + HTTP, "two checks have the id 'a'"),
        (HTTP.replace('"a"', '"live"'), "check.0: 'live' is the id of the gate that waits for a deploy"),
        (HTTP.replace('"a"', '"A/b"'), "check.0.id: write small letters, digits and -"),
        (
            HTTP.replace('"a"', f'"{"a" * 64}"'),
            "check.0.id: write small letters, digits and -, which is not the first, 63 at",
        ),
        (HTTP + 'phases = ["nightly"]', "check.0.phases.0: it should be 'pre-merge', 'pre-deploy'"),
        (HTTP + "phases = []", "check.0.phases: the list is empty"),
        (HTTP + "each = []", "check.0.each: the list is empty"),
        (HTTP + 'each = ["/a", "/b", "/a"]', "check.0.each: '/a' stands in it twice"),
        (HTTP + 'timeout = "soon"', "check.0.timeout: 'soon' is not a duration: write e.g. 500ms, 90s, 5m or 2h"),
        (HTTP + "timeout = 5", "check.0.timeout: 5 is not a duration"),
        (HTTP + 'latency = { slower_than = "much" }', "check.0.latency.slower_than: 'much' is not a percentage"),
        (HTTP + 'latency = { slower_than = "0%" }', "check.0.latency.slower_than: '0%' is not a percentage above zero"),
        (HTTP + 'every = "1s"', "check.0.every: '1s' should be at least 5s"),
        (HTTP + 'every = "25h"', "check.0.every: '25h' should be at most 24h"),
        (HTTP + "attempts = 11", "check.0.attempts: it should be less than or equal to 10"),
        (
            HTTP.replace("status ", "statuss "),
            "check.0: 'statuss == 200': unknown name 'statuss' (did you mean 'status'?)",
        ),
        (HTTP.replace("status ==", "len(text) =="), "check.0.expect.0: 'len(text) == 200': calls are not allowed"),
        (HTTP.replace("get", "post"), "check.0: it says post, so it needs writes = true"),
        (HTTP + 'post = "/"', f"check.0: more than one of {METHODS}"),
        (HTTP.replace('get = "/"', ""), f"check.0: one of {METHODS} is missing"),
        (HTTP.replace('"status == 200"', ""), "check.0: expect is missing: what makes it pass?"),
        (HTTP + "json = 1", "check.0: get has no body"),
        (HTTP.replace("get", "put") + "json = 1\nform = { a = '' }", "check.0: json excludes form and files"),
        (
            HTTP.replace("get", "put") + "writes = true\nlatency = {}",
            "check.0: latency asks again and again, which put",
        ),
        (HTTP.replace('"/"', '"http://x/"'), "check.0: 'http://x/' is not a path on the target: it starts with /"),
        (HTTP.replace('"/"', '"{each}"') + 'each = ["@x"]', "check.0: '{each}' is not a path on the target"),
        (HTTP.replace('"/"', '"/{each}"'), "check.0: nothing is called {each} here; known: {run.id}, {secret.NAME}"),
        (
            HTTP + 'without = ["nats"]\nphases = ["scheduled"]',
            "check.0: without cuts a dependency off, which is for the",
        ),
        (HTTP + 'without = ["kafka"]', "check 'a': without 'kafka', which is not in needs"),
        (WS + 'steps = [{ recv = "1s", expect = ["status == 1"] }]', "check.0: 'status == 1': unknown name 'status'"),
        (WS + 'steps = [{ send = "x", recv = "1s" }]', "check.0.steps.0: either send or recv"),
        (WS + 'steps = [{ send = "x", expect = ["size > 1"] }]', "check.0.steps.0: nothing can be expected of what"),
        (WS + "close = 99", "check.0.close: it should be greater than or equal to 1000"),
        (ENV.replace('"A"', ""), "check.0: one of required, shape, same_keys_as is missing: what makes it pass?"),
        (ENV + 'same_keys_as = ".env.example"', "check.0: same_keys_as compares two files, and source is missing"),
        (
            ENV + 'shape = { A = "postgre-url" }',
            "check.0.shape.A: unknown shape 'postgre-url' (did you mean 'postgres-url'?); known: url, postgres-url",
        ),
        (
            ENV + 'shape = { A = "secret" }',
            "check.0.shape.A: unknown shape 'secret' (did you mean 'secret>=32'?); known:",
        ),
        (ENV + 'shape = { A = "secret>=0" }', "check.0.shape.A: unknown shape 'secret>=0' (did you mean"),
        (ENV + 'shape = { A = "xml" }', "check.0.shape.A: unknown shape 'xml'; known: url"),
        (ENV + 'shape = { A = "int 2..1" }', "check.0.shape.A: 'int 2..1': no number is within 2..1"),
        (BOX, "check.0: either containers, by name, or compose, a file, with its services"),
        (BOX + 'compose = "c.yml"', "check.0: compose and services belong together"),
        (
            BOX + 'containers = ["a"]\nno_healthcheck = "ok"',
            "check.0.no_healthcheck: it should be 'fail' or 'accept'",
        ),
        (
            JOURNEY + STEP + STEP.replace("/", "/{tokn}"),
            "check.0: step 3: nothing is called {tokn} here; known: {run.id}",
        ),
        (
            JOURNEY + STEP.replace("== 200", "== cod"),
            "check.0: step 2: 'status == cod': unknown name 'cod'; known",
        ),
        (JOURNEY + STEP.replace("get", "delete"), "check.0: it says delete, so it needs writes = true"),
        (JOURNEY + "[[check.step]]\nexpect = []", f"check.0: step 2: one of {METHODS}, websocket"),
        (JOURNEY + '[[check.step]]\nget = "/"', "check.0: step 2: expect is missing: what makes it pass?"),
        (
            JOURNEY + '[[check.step]]\nwebsocket = "/"',
            "check.0: step 2: a websocket has steps, and expect belongs to one",
        ),
        (JOURNEY + STEP + "close = 1000", "check.0: step 2: steps and close belong to websocket, not to get"),
        (
            JOURNEY + STEP + "capture = { status = 'json.a' }",
            "check.0: step 2: capture 'status': that name means somet",
        ),
        (
            JOURNEY + STEP + "capture = { a = 'jsn.a' }",
            "check.0: step 2: 'jsn.a': unknown name 'jsn' (did you mean 'json'?",
        ),
        (JOURNEY + STEP + "capture = { a = 'json.' }", "check.0.step.1.capture.a: 'json.' is not a condition"),
        ('[defaults]\ntimeuot = "5s"\n' + HTTP, "unknown key 'defaults.timeuot' (did you mean 'timeout'?)"),
        ('[default]\ntimeout = "5s"\n' + HTTP, "unknown key 'default' (did you mean 'defaults'?)"),
        ('[defaults]\ntimeout = "soon"\n' + HTTP, "defaults.timeout: 'soon' is not a duration: write e.g. 500ms"),
        ("[defaults]\nattempts = 0\n" + HTTP, "defaults.attempts: it should be greater than or equal to 1"),
        ('[defaults]\nphases = ["nightly"]\n' + HTTP, "defaults.phases.0: it should be 'pre-merge', 'pre-deploy'"),
        ("defaults = 3\n" + HTTP, "defaults: write a table: { … = … }"),
        ("check = 3\n[defaults]", "check: write a list"),
        ("check = [3]\n[defaults]", "check.0: write a table"),
        (HTTP.replace("[[check]]", "[check]"), "check: write [[check]] with two brackets, as there may be several"),
        (HTTP + "each = { a = 1 }", 'check.0.each: write a list: ["…"]'),
        (
            '[[check]]\nkind = "redis"\nstatus = 200',
            "unknown key 'check.0.status': write expect = [\"…\"], a list of conditions",
        ),
        (HTTP + 'body = "a"', "unknown key 'check.0.body': write json = { … = … } or form = { … = … }"),
        ('[target]\nbase_url = "https://a"', "target.base_url: write [target.NAME], as each has a name of its own"),
        ('[[target]]\nbase_url = "https://a"', "target: write [target.NAME], as each has a name of its own"),
        ('[[watch.tell]]\nurl = "${A}"\n', "watch.tell: write [watch.tell.NAME], as each has a name of its own"),
        (HTTP + 'path = "/x"', "unknown key 'check.0.path': write get = \"/…\""),
        (HTTP + "status = 200", "unknown key 'check.0.status': write expect = [\"status == 200\"]"),
        (HTTP + 'name = "x"', "unknown key 'check.0.name': write id = \"…\""),
        (TARGET + 'live = { url = "v" }', "target.here.live.url: write a path that begins with /"),
        (HTTP + 'address = "x"', "unknown key 'check.0.address'; known: get, head, "),
        (TARGET.replace("https", "ftp"), "target.here.base_url: write http:// or https:// and a host"),
        (TARGET.replace(".example", ".example?a=b"), "target.here.base_url: write http:// or https:// and a host"),
        (LIVE + 'url = "/v"\nexpect = "status == 200"', "target.here.live: 'status == 200' does not say expected_sha"),
        (LIVE + 'url = "/v"\nexpect = "sha == expected_sha"', "target.here.live: 'sha == expected_sha': unknown name"),
        (
            TARGET + 'deployment = { github = "" }',
            "target.here.deployment.github: it should have at least 1 charact",
        ),
        (
            TARGET + 'deployment = { github = "x" }',
            "target.here: who knows which commit should answer is of no use without live",
        ),
        (
            TARGET + f"railway = {{ {RAILWAY} }}",
            "target.here: who knows which commit should answer is of no use without",
        ),
        (TARGET + 'railway = { project = "p" }', "target.here.railway.environment: is missing"),
        (
            TARGET + f"railway = {{ {RAILWAY.replace('7', '7 {x}')} }}",
            "target.here.railway.project: it should match pattern",
        ),
        (TARGET.replace("here", '"Not Here"'), "target.Not Here.[key]: write small letters, digits"),
    ],
)
def test_a_mistake_is_found_when_the_manifest_is_read(load: Load, text: str, complaint: str) -> None:
    """Where, what, and the nearest right name; step 3 is read before step 1 is run."""
    with pytest.raises(ManifestError) as refused:
        load(text)

    assert refused.value.what.partition("testbay.toml: ")[2].startswith(complaint)
