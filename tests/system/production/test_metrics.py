"""`testbay metrics`: the file and the push, read back by Prometheus' own parser."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.served import Handler, Served
from tests.system.conftest import REPOSITORY, WARM, Done
from tests.system.fakes.monitor import report, result

from testbay.errors import ManifestError
from testbay.output import Voice
from testbay.production import metrics
from testbay.production.checks.report import Report
from testbay.production.history import entries
from testbay.production.history.command import Place
from testbay.production.remote.github import Patience

NOW = datetime.now(UTC).replace(microsecond=0)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PUSHGATEWAY", "GITHUB", "SLACK"))}
WHERE = 'service="shop",target="production"'
OWN = 'instance="",job="testbay",'  # what a Pushgateway adds
PASSWORD = "canary-pässword"
HOSTILE = 'a"b\\c\nd\r{}=,# \u2028\x00é'


def call(folder: Path, found: Report, *argv: str, **environ: str) -> Done:
    """With the report on standard input."""
    done = WARM.run(["metrics", "-", *argv], cwd=folder, environ=CLEAN | environ, said=found.as_json(), apart=True)
    return Done(done.returncode, done.stdout + done.stderr)


def samples(text: str) -> dict[str, float]:
    """Every series with its value, as PromQL writes it."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    named = {f"{one.name}{{{','.join(f'{k}={v!r}' for k, v in sorted(one.labels.items()))}}}": one for one in found}
    assert len(named) == len(found)
    return {name.replace("'", '"'): sample.value for name, sample in named.items()}


def written(folder: Path, found: Report, *argv: str) -> dict[str, float]:
    """What the file says."""
    done = call(folder, found, "--to", "shop.prom", *argv)
    assert done.code == 0, done.out
    return samples((folder / "shop.prom").read_bytes().decode())


def test_a_file_says_what_the_report_says(tmp_path: Path) -> None:
    """Each check by its verdict, and the times and the commit of the run."""
    found = report(
        NOW,
        result("health", "pass", duration_s=0.7, latencies_s=(0.1, 0.3, 0.2)),
        result("docs", "stale", instance="/docs"),
        result("later", "skip"),
        commit="c0ffee1",
    )
    said = written(tmp_path, found)
    health = f'check="health",each="",phase="scheduled",{WHERE}'
    docs = f'check="docs",each="/docs",phase="scheduled",{WHERE}'
    verdicts = {name: value for name, value in said.items() if name.startswith("testbay_check_verdict")}

    assert {name: value for name, value in said.items() if name not in verdicts} == {
        f"testbay_run_timestamp_seconds{{{WHERE}}}": NOW.timestamp(),
        f'testbay_target_build_info{{commit="c0ffee1",expected_commit="",{WHERE}}}': 1,
        f"testbay_checks_left_out{{{WHERE}}}": 0,
        f"testbay_check_success{{{health}}}": 1,
        f"testbay_check_success{{{docs}}}": 0,
        f"testbay_check_duration_seconds{{{health}}}": 0.7,
        f"testbay_check_duration_seconds{{{docs}}}": 0,
        f"testbay_check_latency_seconds{{{health}}}": 0.2,
    }
    assert (len(verdicts), verdicts[f'testbay_check_verdict{{{docs},verdict="stale"}}'], sum(verdicts.values())) == (
        15,
        1,
        3,
    )


def test_the_last_good_run_is_that_of_the_same_target(tmp_path: Path) -> None:
    """From the history; the run itself counts, recorded or not."""
    name = f"testbay_last_good_run_timestamp_seconds{{{WHERE}}}"
    ages = {"production": (30, 20), "staging": (10,)}
    for target, hours in ages.items():
        for ago in hours:
            good = report(NOW - timedelta(hours=ago), result("a", "pass"), result("b", "skip"), target=target)
            entries.append(tmp_path / "kept", [entries.entry(good)], NOW)
    for verdict in ("fail", "error", "stale", "skip"):
        said = written(tmp_path, report(NOW, result("a", verdict)), "--history", "kept")
        assert said[name] == (NOW - timedelta(hours=20)).timestamp()

    assert written(tmp_path, report(NOW, result("a", "pass")), "--history", "kept")[name] == NOW.timestamp()


def test_a_strange_report_makes_a_sound_file(tmp_path: Path) -> None:
    """What is a sign to Prometheus comes back as it was; what is there twice is there once, by its worst."""
    found = report(
        NOW, *(result(HOSTILE, verdict, instance=HOSTILE) for verdict in ("pass", "fail", "pass")), service=HOSTILE
    )
    (tmp_path / "x").mkdir()
    done = call(tmp_path, found, "--to", "x/shop.prom")
    families = text_string_to_metric_families((tmp_path / "x/shop.prom").read_bytes().decode())
    success = next(family.samples for family in families if family.name == "testbay_check_success")

    labels = {"check": HOSTILE, "each": HOSTILE, "service": HOSTILE, "target": "production", "phase": "scheduled"}
    assert ([(one.labels, one.value) for one in success], done.lines) == (
        [(labels, 0.0)],
        ["x/shop.prom: 1 result, 2 left out"],
    )
    assert [file.name for file in (tmp_path / "x").iterdir()] == ["shop.prom"]


def test_there_are_not_more_series_than_a_prometheus_likes(tmp_path: Path) -> None:
    """Of thousands of results the worst are there, and how many are not."""
    found = report(NOW, *(result(f"c{n}", "pass") for n in range(2000)), result("bad", "fail"))
    said = written(tmp_path, found)

    assert said[f"testbay_checks_left_out{{{WHERE}}}"] == 1501
    assert said[f'testbay_check_success{{check="bad",each="",phase="scheduled",{WHERE}}}'] == 0
    assert len(said) < 10 * 500


def test_a_secret_is_no_label(tmp_path: Path) -> None:
    """Whoever wrote the report."""
    done = call(
        tmp_path, report(NOW, result("canary-0123456789", "fail")), "--to", "a.prom", GITHUB_TOKEN="canary-0123456789"
    )

    assert (done.code, "canary" in (tmp_path / "a.prom").read_text()) == (0, False)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([], 0, 'testbay_check_success{check="a",each="",phase="scheduled"'),
        (["--to", "a.prom", "--push", "http://127.0.0.1:9"], 2, "say --to FILE.prom or --push URL, one of the two"),
        (["--to", "shop.txt"], 10, "error: --to: shop.txt does not end in .prom"),
        (["--to", "none/shop.prom"], 10, "error: --to: none/shop.prom cannot be written"),
        (["--push", "127.0.0.1:9091"], 10, "error: --push: not a valid address"),
        (["--push", "http://u:canary@127.0.0.1:9091"], 10, "error: --push: there are credentials in the address"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, argv: list[str], code: int, said: str) -> None:
    """Before anything is written or sent."""
    done = call(tmp_path, report(NOW, result("a", "pass")), *argv)

    assert (done.code, said in done.out, "canary" in done.out, list(tmp_path.iterdir())) == (code, True, False, [])


class Gateway(Served):
    """A Pushgateway as far as we need it: it keeps what is put, by path, and answers as it is told."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, float]] = {}
        self.authorizations: list[str | None] = []
        self.answers: list[tuple[int, str]] = []

    def __enter__(self) -> Self:
        gateway = self

        class Answering(Handler):
            def do_PUT(self) -> None:
                body = self.body().decode()
                gateway.authorizations.append(self.headers.get("authorization"))
                status, said = gateway.answers.pop(0) if gateway.answers else (200, "")
                if status == 200:
                    gateway.groups[self.path] = samples(body)
                self.reply(status, said.encode())

        self.url = self.serve(Answering)
        return self


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


def test_a_push_replaces_the_last_run_of_the_same_target(gateway: Gateway, tmp_path: Path) -> None:
    """A check that is gone is gone; another target stays. Credentials come from the environment and go nowhere else."""
    key = {"PUSHGATEWAY_USERNAME": "ci", "PUSHGATEWAY_PASSWORD": PASSWORD}
    for found in (
        report(NOW, result("old", "fail")),
        report(NOW, result("a", "pass"), target="a/b c"),
        report(NOW, result("new", "pass")),
    ):
        done = call(tmp_path, found, "--push", gateway.url, **key)
        assert (done.code, done.out) == (0, "pushed: 1 result\n")

    mine = gateway.groups["/metrics/job/testbay/service/shop/target/production"]
    assert (len(gateway.groups), [name for name in mine if "success" in name]) == (
        2,
        [f'testbay_check_success{{check="new",each="",phase="scheduled",{WHERE}}}'],
    )
    assert set(gateway.authorizations) == {"Basic Y2k6Y2FuYXJ5LXDDpHNzd29yZA=="}


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ([(503, ""), (200, "")], 0, "pushed: 1 result"),
        ([(202, "")], 0, "pushed: 1 result"),
        ([(401, f"who is {PASSWORD}?")], 26, "error: the Pushgateway: status 401"),
        ([(400, "pushed metrics are inconsistent")], 26, "error: the Pushgateway: status 400"),
        ([(302, "")], 26, "error: the Pushgateway: status 302"),
    ],
)
def test_a_push_that_is_not_taken_is_code_26(
    gateway: Gateway, tmp_path: Path, answers: list[tuple[int, str]], code: int, said: str
) -> None:
    """With what it answered; what may pass is tried again."""
    gateway.answers = list(answers)
    key = {"PUSHGATEWAY_USERNAME": "ci", "PUSHGATEWAY_PASSWORD": PASSWORD}
    done = call(tmp_path, report(NOW, result("a", "pass")), "--push", gateway.url, **key)

    assert (done.code, done.lines[0], PASSWORD in done.out) == (code, said, False)
    assert answers[-1][1].replace(PASSWORD, "***") in done.out


def test_a_password_is_not_sent_in_the_open(tmp_path: Path) -> None:
    """Nobody is asked."""
    run = metrics.run_of(report(NOW, result("a", "pass")), Place(folder=tmp_path))
    environ: dict[str, Any] = {"PUSHGATEWAY_USERNAME": "ci", "PUSHGATEWAY_PASSWORD": "x"}

    with pytest.raises(ManifestError, match="--push: the password would be sent unencrypted"):
        metrics.push(run, "http://pushgateway.invalid:9091", environ, Voice(), Patience(0))


def alerts() -> str:
    """The rules of docs/metrics.md."""
    [found] = re.findall(r"(?ms)^```yaml\n(groups:.*?)^```", (REPOSITORY / "docs/metrics.md").read_text())
    return str(found)


@pytest.fixture
def real_gateway(tmp_path: Path) -> Iterator[str]:
    """A Pushgateway, on a port that it chooses."""
    argv = ["prometheus-pushgateway", "--web.listen-address=127.0.0.1:0", f"--persistence.file={tmp_path}/kept"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        said = next(line for line in running.stderr if '"Listening on"' in line)
        yield f"http://{said.rpartition('address=')[2].strip()}"
        running.terminate()
        running.stderr.read()


@pytest.mark.prometheus
@pytest.mark.parametrize("target", ["production", "", "a/b c", "ü"])
def test_a_real_pushgateway_has_what_was_pushed(real_gateway: str, tmp_path: Path, target: str) -> None:
    """Series by series, beside the labels that are its own; once more is no more."""
    found = report(NOW, result("a", "fail", latencies_s=(0.1,)), result("b", "pass"), target=target)
    mine = written(tmp_path, found)
    for _ in range(2):
        assert call(tmp_path, found, "--push", real_gateway).out == "pushed: 2 results\n"
    theirs = samples(httpx.get(f"{real_gateway}/metrics", trust_env=False).text)

    kept = {name.replace(OWN, ""): value for name, value in theirs.items() if name.startswith("testbay_")}
    assert kept == mine


@pytest.mark.prometheus
def test_promtool_has_nothing_against_a_file(tmp_path: Path) -> None:
    """Names, units and help texts are as Prometheus likes them, the strangest labels are escaped."""
    written(tmp_path, report(NOW, result(HOSTILE, "fail", instance=HOSTILE, latencies_s=(1,)), service=HOSTILE))
    with (tmp_path / "shop.prom").open() as file:
        done = subprocess.run(["promtool", "check", "metrics"], stdin=file, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.prometheus
def test_the_alerts_of_the_page_ring(tmp_path: Path) -> None:
    """When a check fails, when no run was good for long, when nothing is known; and not before."""
    (tmp_path / "alerts.yml").write_text(alerts())
    (tmp_path / "test.yml").write_text(ALERT_TEST)
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.split()) == (0, ["Unit", "Testing:", "test.yml", "SUCCESS"]), done.stderr


ALERT_TEST = """
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1h
    input_series:
      - series: testbay_check_success{service="shop", target="production", check="docs", each="/docs"}
        values: 1 1 0 0 1x20
      - series: testbay_last_good_run_timestamp_seconds{service="shop", target="production"}
        values: 0x30
      - series: testbay_run_timestamp_seconds{service="other", target="production"}
        values: 0x30
    alert_rule_test:
      - {eval_time: 1h, alertname: CheckFails, exp_alerts: []}
      - {eval_time: 12h, alertname: NoGoodRun, exp_alerts: []}
      - {eval_time: 59m, alertname: NoMetrics, exp_alerts: []}
      - eval_time: 2h
        alertname: CheckFails
        exp_alerts:
          - exp_labels: {severity: page, service: shop, target: production, check: docs, each: /docs}
            exp_annotations: {summary: "shop on production: docs /docs"}
      - eval_time: 14h
        alertname: NoGoodRun
        exp_alerts:
          - exp_labels: {severity: page, service: shop, target: production}
            exp_annotations: {summary: "shop on production: no good run for 14h 0m 0s"}
      - eval_time: 2h
        alertname: NoMetrics
        exp_alerts:
          - exp_labels: {severity: page, service: shop, target: production}
            exp_annotations: {summary: "shop on production: no checks are known"}
"""


def test_the_page_knows_every_metric() -> None:
    """The table of docs/metrics.md has them all, and the alerts use no other."""
    page = (REPOSITORY / "docs/metrics.md").read_text()
    run = metrics.run_of(report(NOW, result("a", "pass")), Place(folder=Path("/nonexistent")))
    made = {family.name for family in metrics.registry(run).collect()}

    assert set(re.findall(r"(?m)^\| `(testbay_\w+)`", page)) == made
    assert set(re.findall(r"testbay_\w+", page)) == made
