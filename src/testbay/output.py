"""All output: progress on a terminal, plain lines in a pipe, folds and annotations in GitHub Actions."""

import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from testbay.errors import BayError, FilesError

_ANNOTATIONS = 10
_COMMAND = re.compile(r"(?m)^([ \t]*:)(?=:)")
_SUMMARY_BYTES = (1 << 20) - (16 << 10)  # GitHub drops a step's summary above 1 MiB; a later command may add some


_lost: list[OSError] = []  # why standard output cannot be written any more; what is said there is said in vain


def open_closed_streams() -> None:
    """Open closed standard streams on /dev/null: otherwise the next opened files would get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            sink = os.open(os.devnull, os.O_RDWR)
            if sink != number:
                os.dup2(sink, number)
                os.close(sink)
            os.set_inheritable(number, True)  # noqa: FBT003 - by position only; pytest and the rest start with it too
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
            if name == "stdout":
                _lost.append(OSError(errno.EBADF, "it is closed"))


def is_lost() -> bool:
    """Return whether standard output could not be written, and is /dev/null since."""
    return bool(_lost)


def farewell(code: int) -> int:
    """Return the exit code for a command that ends with `code`; report lost output on standard error."""
    if not _lost:
        return code
    error = FilesError(
        "testbay could not write to its standard output",
        why=str(_lost[0].strerror),
        todo="give it an open one with room (`>&-` closes it); everything else was done",
    )
    if _lost[0].errno != errno.EPIPE:  # a reader that has seen enough, as `head` has, knows
        Voice(sys.stderr).say(f"error: {error}")
    return code or error.exit_code


def disarmed(text: str) -> str:
    """Defuse the commands in a text that GitHub's runner would execute: `::name::` and `##[name]`."""
    return _COMMAND.sub(r"\1 ", text).replace("##[", "## [")


class Voice:
    """Prints what happens to one stream."""

    def __init__(self, stream: TextIO | None = None, *, environ: Mapping[str, str] | None = None) -> None:
        self._stream = stream or sys.stdout
        env = environ or {}
        self._live = self._stream.isatty() and env.get("TERM") != "dumb"
        self._github = env.get("GITHUB_ACTIONS") == "true"
        self._annotations = 0
        self._has_live_line = False
        self._encoding = self._stream.encoding or "ascii"

    @property
    def is_watched(self) -> bool:
        """Return whether the stream is a terminal that shows live output."""
        return self._live

    def say(self, text: str = "") -> None:
        """Print lines. Nothing in them is interpreted by a terminal or by GitHub's runner, whatever their origin."""
        self._print(self._tame(text))

    def _print(self, text: str) -> None:
        self._clear()
        self._write(self._safe(text) + "\n")

    def _write(self, text: str) -> None:
        """Write to the stream. An error ends no run: it is noted, and later output goes to /dev/null."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            _lost.append(error)
            with suppress(OSError, ValueError):  # what is still buffered would be tried again at the very end
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, self._stream.fileno())
                os.close(sink)

    def _tame(self, text: str) -> str:
        """Spell out unprintable characters, and break `::name::` and `##[name]`, which runners obey."""
        text = _spelled(text)
        return disarmed(text) if self._github else text

    def detail(self, text: str) -> None:
        """Print a line that belongs to the current step."""
        self.say(f"    {text}")

    def progress(self, text: str) -> None:
        """Show what the caller is waiting for, in a line that replaces itself; only on a terminal."""
        if not self._live:
            return
        self._clear()
        self._write(self._safe(self._tame(f"    … {text}")[:110]))
        self._has_live_line = True

    def _safe(self, text: str) -> str:
        """Replace characters that the stream's encoding lacks by question marks."""
        return text.encode(self._encoding, errors="replace").decode(self._encoding)

    def _clear(self) -> None:
        if self._has_live_line:
            self._write("\r\x1b[2K")
            self._has_live_line = False

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a step's title, and its duration at the end; in GitHub Actions the step is a fold."""
        began = time.monotonic()
        self._print(f"::group::{_message(title)}" if self._github else f"==> {title}")
        try:
            yield
        finally:
            self.detail(f"{time.monotonic() - began:.2f} s")
            if self._github:
                self._print("::endgroup::")

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """Have GitHub's runner ignore commands in the output of other programs during a block."""
        if not self._github:
            yield
            return
        word = secrets.token_hex(16)
        self._print(f"::stop-commands::{word}")
        try:
            yield
        finally:
            self._print(f"\n::{word}::")  # what was printed last may not have ended its line

    def verdict(self, text: str, *, good: bool) -> None:
        """Print a closing line with its mark, or a word where the terminal's encoding lacks the character."""
        mark, word = ("✅", "[ok]") if good else ("❌", "[FAILED]")
        try:
            mark.encode(self._encoding)
        except UnicodeEncodeError:
            mark = word
        self.say(f"{mark} {text}")

    def error(self, error: BayError) -> None:
        """Print an error: what happened, why, what to do, where the evidence is; in GitHub Actions as an annotation."""
        self.say(f"error: {error}\n  more:     testbay explain {error.exit_code}")
        self.annotate(error.what, title=type(error).__name__)

    def mask(self, value: str) -> None:
        """Have GitHub Actions replace this value, and each of its lines, by *** in everything it logs from now on."""
        if self._github:
            self._clear()
            self._stream.flush()
            # As bytes: the stream's own encoding might put a question mark where the value has a letter.
            self._stream.buffer.write(f"::add-mask::{_message(value)}\n".encode(errors="surrogateescape"))
            self._stream.buffer.flush()

    def annotate(self, message: str, *, title: str, file: str = "", line: int = 0) -> None:
        """Pin an error to a line of a file, or to the run, in GitHub Actions, which shows ten per step."""
        if not self._github or self._annotations == _ANNOTATIONS:
            return
        self._annotations += 1
        where = {"file": file, "line": str(line) if file and line > 0 else "", "title": title}
        properties = ",".join(f"{key}={_property(value)}" for key, value in where.items() if value)
        self._print(f"::error {properties}::{_spelled(_message(message))}")


def _spelled(text: str) -> str:
    """Escape characters that are not printable, except line feeds and tabs."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _message(text: str) -> str:
    """Escape a message for an annotation, which is one line; the runner unescapes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property, which a colon or a comma would also end."""
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(text: str, target: Path) -> str:
    """Add Markdown to the step's summary; return the reason if it was not added.

    Several services may write to one file, and above a size limit GitHub shows nothing: the text is cut to fit.
    """
    try:
        size = target.stat().st_size if target.exists() else 0
        room = _SUMMARY_BYTES - size
        if len(text.encode()) > room:
            head = text.partition("\n")[0]
            text = f"{head}\n\nMore is in this run's `summary.md`: the step's summary is full.\n"
        if len(text.encode()) > room:
            return f"nothing was added to the step's summary: it has {size} bytes"
        with target.open("a", encoding="utf-8") as out:
            out.write(text + "\n")
    except OSError as error:
        return f"the step's summary could not be written: {target}: {error.strerror}"
    return ""
