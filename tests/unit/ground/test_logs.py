from pathlib import Path

import pytest

from testbay.harness.dependencies.postgres import server as postgres
from testbay.logs import tail, window
from testbay.text import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\tline\r\nnext\rover", "plain\tline\nnext\nover"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        (b"caf\xe9 \xff", "caf\ufffd \ufffd"),
        ("täter \u202egnp.exe\u200b".encode(), "täter \\u202egnp.exe\\u200b"),
        (b"a\0b\x9bc", "a\\x00b\ufffdc"),
        (b"</script> ]]>", "</script> ]]>"),
    ],
)
def test_nothing_hidden_is_shown_and_nothing_obeyed(raw: bytes, shown: str) -> None:
    """Escapes, controls and turned-round text stand there as one would type them; colours are dropped."""
    assert visible(raw.decode(errors="replace")) == shown


def test_a_window_begins_where_the_log_was(tmp_path: Path) -> None:
    """What was there before belongs to others."""
    log = tmp_path / "log"
    log.write_text("before\n")
    start = log.stat().st_size
    log.write_text("before\none\n\ntwo\n")

    assert window(log, start) == (["one", "", "two"], 0)
    assert window(log, log.stat().st_size) == ([], 0)
    assert window(tmp_path / "none", 0) == ([], 0)


def test_a_long_window_is_its_last_lines(tmp_path: Path) -> None:
    """And says how many there were before them, and where."""
    log = tmp_path / "log"
    log.write_text("".join(f"{n}\n" for n in range(1000)))
    cut = window(log, 0)

    assert (len(cut.lines), cut.lines[-1], cut.hidden) == (200, "999", 800)
    assert cut.text("run/log").startswith("… 800 lines more in run/log\n800\n")


def test_a_huge_window_is_counted_and_not_kept(tmp_path: Path) -> None:
    """50 MB of output; a line without end is cut."""
    log = tmp_path / "log"
    with log.open("wb") as out:
        for _ in range(50):
            out.write(b"0123456789\n" * 95_325)
        out.write(b"x" * 3000 + b"\nlast\n")
    cut = window(log, 0)

    assert cut.lines[-2:] == ["x" * 2000 + "… 1000 characters more", "last"]
    assert cut.hidden + len(cut.lines) == pytest.approx(50 * 95_325 + 2, abs=1)  # one line was cut in two


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    """For errors."""
    log = tmp_path / "log"
    log.write_bytes(b"first\n" + b"more\n" * 20 + b"\x1b[1mlast\xff\n")

    assert tail(log, 2) == "more\nlast\ufffd"
    assert tail(tmp_path / "none") == ""


LINES = """\
2026-11-21 14:25:14 UTC [1]  LOG:  checkpoint starting: immediate force wait
2026-11-21 14:25:14 UTC [2] bay_lease1 ERROR:  column "nothing" does not exist
2026-11-21 14:25:14 UTC [2] bay_lease1 STATEMENT:  SELECT nothing
\t    FROM items
2026-11-21 14:25:14 UTC [3] bay_lease2 ERROR:  theirs
2026-11-21 14:25:14 UTC [3] bay_lease2 STATEMENT:  SELECT
\t    theirs
2026-11-21 14:25:15 UTC [1]  PANIC:  could not write
a line of another kind
""".splitlines()


def test_a_shared_log_shows_ones_own_part() -> None:
    """Whole statements; what the server says of itself; not what cloning a database always brings."""
    shown = [LINES[1], LINES[2], LINES[3], LINES[7], LINES[8]]

    assert postgres.relevant(LINES, ["bay_lease1"]) == shown
    assert postgres.relevant(LINES, []) == LINES[7:]
