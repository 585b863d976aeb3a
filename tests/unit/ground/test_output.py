import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbay import output
from testbay.errors import BayError, ManifestError
from testbay.output import Voice

ERROR = ManifestError("bad: 100%\nkey", why="a typo", todo="fix it")


def test_a_pipe_gets_plain_lines(recording: Any) -> None:
    """No escape sequences and no progress where nobody watches."""
    heard = recording(TERM="xterm")
    with heard.voice.step("Start postgres"):
        heard.voice.progress("waiting")
        heard.voice.detail("ready")
    lines = heard.text.splitlines()

    assert lines[:2] == ["==> Start postgres", "    ready"]
    assert lines[2].startswith("    0.0")
    assert lines[2].endswith(" s")
    assert len(lines) == 3


def test_a_terminal_gets_a_line_that_replaces_itself(recording: Any) -> None:
    """Progress is wiped before the next line is said."""
    heard = recording(tty=True, TERM="xterm")
    heard.voice.progress("waiting " + "x" * 200)
    heard.voice.say("ready")
    heard.voice.say("done")

    waiting = ("    … waiting " + "x" * 200)[:110]
    assert heard.text == f"{waiting}\r\x1b[2Kready\ndone\n"


def test_a_dumb_terminal_is_a_pipe(recording: Any) -> None:
    """Emacs' shell and the like cannot replace a line."""
    heard = recording(tty=True, TERM="dumb")
    heard.voice.progress("waiting")

    assert heard.text == ""


def test_github_gets_folds_and_annotations(recording: Any) -> None:
    """A step folds, an error is pinned to the run in one line whatever it contains."""
    heard = recording(GITHUB_ACTIONS="true")
    with heard.voice.step("Start"):
        heard.voice.error(ERROR)
    lines = heard.text.splitlines()

    assert lines[:6] == [
        "::group::Start",
        "error: bad: 100%",
        "key",
        "  why:      a typo",
        "  do:       fix it",
        "  more:     testbay explain 10",
    ]
    assert lines[6] == "::error title=ManifestError::bad: 100%25%0Akey"
    assert lines[-1] == "::endgroup::"


def test_a_step_that_fails_still_says_its_duration(recording: Any) -> None:
    """The time to a failure is a fact too."""
    heard = recording()
    with pytest.raises(BayError), heard.voice.step("Start"):
        raise ERROR

    assert len(heard.text.splitlines()) == 2


@pytest.mark.parametrize(
    ("encoding", "good", "bad"),
    [
        ("utf-8", "✅ NATS", "❌ NATS"),
        ("ascii", "[ok] NATS", "[FAILED] NATS"),
        ("latin-1", "[ok] NATS", "[FAILED] NATS"),
    ],
)
def test_verdicts_are_words_where_there_is_no_mark(recording: Any, encoding: str, good: str, bad: str) -> None:
    """A locale without the character gets a word, not a question mark."""
    heard = recording(encoding=encoding)
    heard.voice.verdict("NATS", good=True)
    heard.voice.verdict("NATS", good=False)

    assert heard.text.splitlines() == [good, bad]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_text_is_too_strange_to_be_said(recording: Any, encoding: str) -> None:
    """Log lines and paths of any kind never end a run with a UnicodeEncodeError."""
    heard = recording(encoding=encoding, tty=True, TERM="xterm")
    for speak in (heard.voice.say, heard.voice.detail, heard.voice.progress):
        speak("日本 \udcff …")
    heard.voice.error(ManifestError("日本"))

    assert "error: " in heard.text


@pytest.mark.parametrize("command", ["::stop-commands::x", "    ::add-mask::e", "GET / → 500: ##[error]all is lost"])
def test_no_text_of_others_commands_a_runner(recording: Any, command: str) -> None:
    """It looks for `::` behind blanks and for `##[` anywhere: a server's answer could hide what we say after it."""
    heard = recording(GITHUB_ACTIONS="true")
    heard.voice.say(f"first\n{command}")
    heard.voice.detail(command)

    assert len(heard.text.splitlines()) == 3
    assert not [line for line in heard.text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def test_no_text_of_others_commands_a_terminal(recording: Any) -> None:
    """Colours, titles and turned lines are spelled out; lines stay lines."""
    heard = recording(tty=True, TERM="xterm")
    heard.voice.say("a\x1b[2J\u202eb\n\tc\r")
    heard.voice.progress("\x07")

    assert heard.text == "a\\x1b[2J\\u202eb\n\tc\\r\n    … \\x07"


def test_a_stream_without_an_encoding_is_spoken_to_in_ascii() -> None:
    """io.StringIO, as embedding programs use it."""
    stream = io.StringIO()
    Voice(stream).verdict("é", good=True)

    assert stream.getvalue() == "[ok] ?\n"


def test_the_default_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """A voice that is told nothing speaks to the caller."""
    Voice().say("hello")

    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_locale_without_our_characters_ends_no_program(encoding: str) -> None:
    """The real standard output of a real process."""
    code = "from testbay.output import Voice; v = Voice(); v.verdict('NATS …', good=False); v.say('\\udcff 日本')"
    source = str(Path(output.__file__).parents[1])
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": source}

    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"[FAILED] NATS ")


def test_a_value_is_masked_in_one_line_and_as_it_is(recording: Any) -> None:
    """A line break would end the command after the first line, and a question mark for a letter would mask nothing."""
    heard = recording(encoding="ascii", GITHUB_ACTIONS="true")
    heard.voice.say("before")
    heard.voice.mask("50%\r\nä")

    heard._stream.flush()
    assert heard._bytes.getvalue() == "before\n::add-mask::50%25%0D%0Aä\n".encode()


def test_elsewhere_a_value_is_not_shown(recording: Any) -> None:
    """Only GitHub Actions takes the command away; in a terminal it would show what it hides."""
    heard = recording()
    heard.voice.mask("value")

    assert heard.text == ""


def test_annotations_are_one_line_and_ten_at_most(recording: Any) -> None:
    """What would end a property or the line is escaped; GitHub shows no eleventh."""
    heard = recording(GITHUB_ACTIONS="true")
    for _ in range(12):
        heard.voice.annotate("a: 1,5 %\r\nb", title="t::x,\n100%", file="d,e/f:g.py", line=3)

    assert (
        heard.text.splitlines()
        == ["::error file=d%2Ce/f%3Ag.py,line=3,title=t%3A%3Ax%2C%0A100%25::a: 1,5 %25%0D%0Ab"] * 10
    )


def test_an_annotation_is_nothing_elsewhere(recording: Any) -> None:
    """A terminal has the failure in the closing lines."""
    heard = recording()
    heard.voice.annotate("a", title="t", file="f", line=1)

    assert heard.text == ""
