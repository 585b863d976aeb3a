"""`testbay metrics`: the results of a run of checks for Prometheus, printed, as a file, or pushed."""

import base64
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from testbay.errors import ManifestError, NotDeliveredError, remedy
from testbay.output import Voice
from testbay.production.checks import report as reports
from testbay.production.checks.report import EXIT_CODES, Report, Result, Verdict
from testbay.production.history import entries
from testbay.production.history.command import Place
from testbay.production.history.entries import Entry
from testbay.production.incidents.findings import masked
from testbay.production.remote import delivery
from testbay.production.remote.delivery import Address
from testbay.production.remote.exchange import is_private
from testbay.production.remote.github import Patience
from testbay.secrets import known
from testbay.text import plural

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

MOST_CHECKS = 500  # nine series each
JOB = "testbay"
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_WORST_FIRST = [*EXIT_CODES, "pass", "skip"]
_RUN = ("service", "target")
_BUILD = (*_RUN, "commit", "expected_commit")
CHECK = ("service", "target", "phase", "check", "each")


@dataclass(frozen=True, kw_only=True)
class Exposition:
    """A report, the results of it that are shown, and its place in the history."""

    report: Report
    results: Sequence[Result]
    entry: Entry
    last_good: Entry | None


def read(report: Path, start: Path, environ: Mapping[str, str]) -> Report:
    """Read a report and mask the secrets of the project around the folder `start`.

    Raises:
        ManifestError: The file is not a report, or a manifest is invalid.
    """
    return masked(reports.read(report), known.of(start, environ))


def run_of(report: Report, where: Place) -> Exposition:
    """Look up the history of a report, whether or not the report was recorded there already.

    Raises:
        HistoryError: The history cannot be read, or the start of the report is not a time.
    """
    entry = entries.entry(report)
    ours = [
        one
        for one in where.read(datetime.now(UTC)).entries
        if (one.service, one.target) == (entry.service, entry.target)
    ]
    last_good = entries.last_good([*ours, entry])
    return Exposition(report=report, results=_shown(report.results), entry=entry, last_good=last_good)


def write(run: Exposition, file: Path, voice: Voice) -> None:
    """Replace a file for node_exporter's textfile collector, atomically.

    Raises:
        ManifestError: The name does not end in .prom, or the file cannot be written.
    """
    from prometheus_client import write_to_textfile

    if file.suffix != ".prom":
        raise ManifestError(f"--to: {file} does not end in .prom", todo="name it so: the collector reads no other file")
    try:
        write_to_textfile(str(file), registry(run))
    except OSError as error:
        todo = remedy(error, "name a file in a folder that is there and may be written to")
        raise ManifestError(f"--to: {file} cannot be written", why=str(error.strerror), todo=todo) from None
    voice.say(f"{file}: {_extent(run)}")


def printed(run: Exposition) -> str:
    """Format the metrics in Prometheus's text format."""
    from prometheus_client import generate_latest

    return generate_latest(registry(run)).decode()


def push(run: Exposition, url: str, environ: Mapping[str, str], voice: Voice, patience: Patience | None = None) -> None:
    """Replace the metrics of the last run on a Pushgateway.

    Raises:
        ManifestError: The address is invalid, or would expose the credentials.
        NotDeliveredError: The Pushgateway did not take the metrics.
    """
    from prometheus_client import push_to_gateway

    credentials = _credentials(url, environ)
    secrets = [environ.get("PUSHGATEWAY_PASSWORD", ""), *credentials.values()]
    wait = (patience or Patience(tell=voice.say)).wait

    def handler(
        *, url: str, method: str, headers: Sequence[tuple[str, str]], data: bytes, **_: object
    ) -> Callable[[], None]:
        to = Address(name="the Pushgateway", url=url, headers={**dict(headers), **credentials}, secrets=secrets)
        return lambda: _taken(to, delivery.send(to, method, data, wait))

    group = {"service": run.report.service, "target": run.report.target}  # the next run of the same replaces them
    push_to_gateway(url, JOB, registry(run), group, handler=handler)
    voice.say(f"pushed: {_extent(run)}")


def _credentials(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    if not _is_address(url):
        raise ManifestError("--push: not a valid address", todo="write e.g. http://127.0.0.1:9091")
    if "@" in urlsplit(url).netloc:
        why, todo = "every process on the machine can read an argument", "PUSHGATEWAY_USERNAME and PUSHGATEWAY_PASSWORD"
        raise ManifestError("--push: there are credentials in the address", why=why, todo=f"set {todo}")
    name, password = environ.get("PUSHGATEWAY_USERNAME", ""), environ.get("PUSHGATEWAY_PASSWORD", "")
    if not name:
        return {}
    if not is_private(url):
        raise ManifestError("--push: the password would be sent unencrypted", todo="use an https:// address")
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False


def _taken(to: Address, answer: delivery.Reply) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status in (401, 403):
        why, todo = "the credentials are missing or wrong", "set PUSHGATEWAY_USERNAME and PUSHGATEWAY_PASSWORD"
    else:
        why, todo = "it is not a Pushgateway, or is somewhere else", "check the address given to --push"
    what = f"the Pushgateway: status {answer.status}"
    raise NotDeliveredError(what, why=why, todo=todo, evidence=to.hidden(answer.text))


def _shown(results: Sequence[Result]) -> list[Result]:
    """Select one result for each check and instance, the worst first, at most MOST_CHECKS."""
    once: dict[tuple[str, str], Result] = {}
    for result in sorted(results, key=lambda result: _WORST_FIRST.index(result.verdict)):
        once.setdefault((result.check, result.instance), result)
    return list(once.values())[:MOST_CHECKS]


def _left_out(run: Exposition) -> int:
    return len(run.report.results) - len(run.results)


def _extent(run: Exposition) -> str:
    left_out = _left_out(run)
    return plural(len(run.results), "result") + (f", {left_out} left out" if left_out else "")


def registry(run: Exposition) -> "CollectorRegistry":
    return collected([*_of_the_run(run), *_of_checks(run)])


def collected(metrics: "Iterable[Metric]") -> "CollectorRegistry":
    """Make a registry of metrics with fixed values."""
    from prometheus_client import CollectorRegistry

    class Collector:
        def collect(self) -> "Iterable[Metric]":
            return metrics

    made = CollectorRegistry()
    made.register(Collector())
    return made


def _of_the_run(run: Exposition) -> "Iterator[Metric]":
    report = run.report
    whose: tuple[str, ...] = (report.service, report.target)
    good = {whose: run.last_good.moment.timestamp()} if run.last_good else {}
    builds = {(*whose, report.commit, report.expected_commit): 1.0} if report.commit or report.expected_commit else {}
    began, left_out = {whose: run.entry.moment.timestamp()}, {whose: float(_left_out(run))}
    yield gauge("testbay_run_timestamp_seconds", "Start of the newest run of checks.", _RUN, began)
    yield gauge("testbay_last_good_run_timestamp_seconds", "Start of the last run without a failure.", _RUN, good)
    yield gauge("testbay_target_build_info", "The commit that answered, and the expected one.", _BUILD, builds)
    yield gauge(
        "testbay_checks_left_out", "Results that are left out: duplicates, or beyond the limit.", _RUN, left_out
    )


def _of_checks(run: Exposition) -> "Iterator[Metric]":
    report = run.report
    every: dict[tuple[str, ...], Result] = {
        (report.service, report.target, report.phase, one.check, one.instance): one for one in run.results
    }
    verdicts = {(*key, word): float(word == one.verdict) for key, one in every.items() for word in _VERDICTS}
    asked = {key: one for key, one in every.items() if one.verdict != "skip"}
    success = {key: float(one.verdict == "pass") for key, one in asked.items()}
    durations = {key: one.duration_s for key, one in asked.items()}
    latencies = {key: statistics.median(one.latencies_s) for key, one in asked.items() if one.latencies_s}
    yield gauge("testbay_check_success", "1: the check passed, 0: it did not; absent if skipped.", CHECK, success)
    yield gauge(
        "testbay_check_verdict", "1 for the check's verdict, 0 for each other one.", (*CHECK, "verdict"), verdicts
    )
    yield gauge("testbay_check_duration_seconds", "Duration of all attempts together.", CHECK, durations)
    yield gauge("testbay_check_latency_seconds", "Median latency of its probes.", CHECK, latencies)


def gauge(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> "Metric":
    """Make a metric of values by their labels."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made
