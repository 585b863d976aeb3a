"""Each reader of foreign text reads it or refuses it in a sentence: no traceback, no hang, whatever stands there."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples import histories, records
from tests.unit.fuzz.hostile import BOUNDED, PAGES, documents, lines, texts

from testbay.errors import BayError
from testbay.harness.dependencies import ROOMS, room_of
from testbay.harness.dependencies.dragonfly import state as dragonfly_state
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.nats import configuration
from testbay.harness.dependencies.nats import state as nats_state
from testbay.harness.run import archives, reopen, results
from testbay.harness.run.record import Record
from testbay.harness.run.recordparts import ShardPart
from testbay.harness.run.report import html, runfile, summary
from testbay.harness.run.shards import artifacts, combine
from testbay.harness.run.shards.artifacts import Artifact
from testbay.harness.stack import registry
from testbay.logs import tail, window
from testbay.manifest.compose import dockerfile, envfiles, reader
from testbay.manifest.expressions import evaluate, parse
from testbay.manifest.load import load_manifest
from testbay.output import Voice
from testbay.production.checks.report import from_json
from testbay.production.history import entries, slowness
from testbay.production.incidents import marker
from testbay.production.statuspage import make
from testbay.text import one_line, visible

pytestmark = pytest.mark.timeout(600)  # a hang

NOW = histories.NOW
HERE = Path(__file__).parent / "corpus"
REPOSITORY = Path(__file__).parents[3]


def seeds(names: str) -> list[str]:
    """The texts of the corpus by that name."""
    return [file.read_text(encoding="utf-8") for file in sorted(HERE.glob(names))]


def facts(name: str) -> list[Any]:
    """The documents of a file of the corpus, one a line, or the one that it is."""
    text = (HERE / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else [json.loads(text)]


def written_as_json(names: list[Any]) -> st.SearchStrategy[str]:
    """Documents of that shape, as text, and what is left of one that was cut."""
    return documents(names).map(json.dumps) | texts([json.dumps(name) for name in names])


COMPOSE = [(REPOSITORY / "docker-compose.test.yml").read_text(encoding="utf-8"), *seeds("compose/*.yml")]
RUN = records.record(
    records.attempt("t.py::test_a"),
    records.failed("t.py::test_b[x]"),
    records.attempt("t.py::c", "rerun"),
    shard={"number": 1, "of": 2, "durations": "d", "source": "/s"},
    collected=["t.py::test_a"],
    counts={"passed": 1},
    error={"class": "X", "what": "w", "why": "y", "do": "d"},
    shards=[{"shard": "1/2", "id": "i", "planned": 1}],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One folder for all examples of a test."""
    return tmp_path


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_bytes(text.encode(errors="surrogatepass"))
    return file


@BOUNDED
@given(texts(COMPOSE))
def test_compose_files(folder: Path, text: str) -> None:
    """Read, and what a server's image makes of them; and nothing but a refusal of testbay's own."""
    file = written(folder / "compose.yml", text)
    with contextlib.suppress(BayError):
        for service in reader.own_reading([file], {"A": "${A}"}).services:
            if room := room_of(service):
                room.described(service)
                room.plan(service, Server(program=Path("/bin/x"), version="9.1", source="s"), Path("/s/x"))
                room.configured(service)
                room.url(room.endpoint(service, 1))


@BOUNDED
@given(texts(seeds("manifests/*.toml")))
def test_manifests(folder: Path, text: str) -> None:
    """With their checks."""
    written(folder / "testbay.toml", text)
    with contextlib.suppress(BayError):
        load_manifest(folder)


@BOUNDED
@given(texts((HERE / "conditions.txt").read_text(encoding="utf-8").splitlines()), documents(facts("answers.jsonl")))
def test_conditions(text: str, values: Any) -> None:
    """Refused at load, not met, or met."""
    try:
        found = parse.condition(text)
    except ValueError:
        return
    values = values if isinstance(values, dict) else {}
    with contextlib.suppress(evaluate.NotMetError):
        found.require(values)
    list(found.seen(values))
    found.beside("status", values)


@PAGES
@given(written_as_json([RUN]))
def test_records_of_runs(folder: Path, text: str) -> None:
    """For the page, the summary and GitHub's annotations; to be merged."""
    written(folder / "run.json", text)
    with contextlib.suppress(BayError):
        run = runfile.read(folder)
        page = html(run)
        assert "<script>alert" not in page
        summary.markdown(run)
        out = io.StringIO()
        summary.annotate(run, Voice(out, environ={"GITHUB_ACTIONS": "true"}), Path())
        assert all(line.startswith("::error ") for line in out.getvalue().splitlines())
    with contextlib.suppress(BayError):
        artifacts.find([folder])


@PAGES
@given(lines(facts("history.jsonl")))
def test_histories(folder: Path, text: str) -> None:
    """As a page, a badge, and response times."""
    known = entries.parse({"2026-11.jsonl": text}, NOW)
    make(known, NOW, folder / "page", None)
    for found in slowness.series(known.entries).values():
        slowness.explain(slowness.judge(found))
    entries.render(entries.bounded(known.entries, NOW))


@BOUNDED
@given(written_as_json(facts("report.json")))
def test_reports_of_checks(text: str) -> None:
    """And what becomes history of them."""
    with contextlib.suppress(BayError):
        assert entries.entry(from_json(text)).line


@BOUNDED
@given(written_as_json(facts("archive.json")), lines(facts("streams.jsonl")), lines(facts("keys.jsonl")))
def test_archives(folder: Path, index: str, streams: str, keys: str) -> None:
    """Their index, and the views of what is in them."""
    written(folder / "archive.json", index)
    with contextlib.suppress(BayError):
        archives.check(folder, archives.read(folder))
    for view, name, text in ((nats_state.view, "nats.jsonl", streams), (dragonfly_state.view, "dragonfly.jsonl", keys)):
        with contextlib.suppress(BayError):
            list(reopen.viewed(written(folder / name, text), view))


@BOUNDED
@given(lines(facts("facts.jsonl")))
def test_facts_of_tests(folder: Path, text: str) -> None:
    """What a test's own process may have written between the recorder's lines."""
    written(folder / "tests.jsonl", text)
    done = results.read(folder)
    results.keep(done, folder)
    results.tests_line(done, 1.0)
    results.relocate(done.attempts, folder, folder)


@BOUNDED
@given(texts(seeds("junit.xml")))
def test_junit_of_shards(folder: Path, text: str) -> None:
    """XML from elsewhere."""
    written(folder / "junit.xml", text)
    part = ShardPart(number=1, of=1, durations="", source="")
    run = Record(id="i", service="s", started=NOW)
    (folder / "merged").mkdir(exist_ok=True)
    with contextlib.suppress(BayError):
        combine.junit([Artifact(folder=folder, part=part, started=NOW, run=run)], folder / "merged")


@BOUNDED
@given(
    st.binary(max_size=300) | texts(["postgres  | 2026 ERROR x\n"]).map(lambda t: t.encode(errors="surrogatepass")),
    st.integers(0, 400),
)
def test_logs(folder: Path, raw: bytes, start: int) -> None:
    """Any bytes, shown without what a terminal obeys."""
    file = folder / "x.log"
    file.write_bytes(raw)
    said = [tail(file), window(file, start).text("x"), visible(raw.decode(errors="replace"))]
    assert not any("\x1b" in text or "\0" in text for text in said)
    assert "\n" not in one_line(raw.decode(errors="replace"))


@BOUNDED
@given(texts(seeds("nats/*.conf")))
def test_nats_configurations(text: str) -> None:
    """Those that are mounted."""
    with contextlib.suppress(configuration.UnreadableError):
        configuration.entries(text)


@BOUNDED
@given(texts(seeds("env/*.env")))
def test_env_files(text: str) -> None:
    """In both of Compose's formats."""
    with contextlib.suppress(envfiles.EnvFileError):
        envfiles.parse_env(text, os.environ.get)
    with contextlib.suppress(envfiles.EnvFileError):
        envfiles.parse_raw(text)


@BOUNDED
@given(texts(seeds("dockerfiles/*")))
def test_dockerfiles(text: str) -> None:
    """What cannot be read is left to Docker's own build, which refuses it."""
    dockerfile.read({"context": "/usr/share", "dockerfile_inline": text, "args": {"MAJOR": text}, "target": text[:9]})
    dockerfile.read({"context": "/usr/share", "dockerfile_inline": text})


@BOUNDED
@given(texts(seeds("issue.md")))
def test_bodies_of_issues(text: str) -> None:
    """The marker in what anybody may have edited."""
    marker.read(text)


@BOUNDED
@given(
    documents(
        [
            {
                "id": "s-1",
                "pids": {"x": [1, "2"]},
                "sessions": [],
                "marks": [],
                "engine": "none",
                "data_dir": "/nowhere/x",
            }
        ]
    ).map(json.dumps)
)
def test_records_of_stacks(folder: Path, text: str) -> None:
    """A damaged one ends no process of another's and removes no other folder."""
    home = folder / "stacks" / "s-1"
    written(home / "stack.json", text)
    registry.collect(home)
    assert not home.exists()


def test_every_room_was_tried() -> None:
    """The corpus above has a compose service for each."""
    names = {room.NAME for text in COMPOSE for room in ROOMS.values() if any(i in text for i in room.IMAGES)}
    assert names >= {"postgres", "dragonfly", "nats"}
