"""What a step tells the runner: commands in its output, and the files named by GITHUB_ENV, GITHUB_OUTPUT and so on."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.stepper.expressions import UnknownError

COMMAND = re.compile(r"::([\w-]+)(?: .*?)?::(.*)")
ANNOTATIONS = ("error", "warning", "notice")
SILENT = ("group", "endgroup", "debug")
MOST_SUMMARY_BYTES = 1024 * 1024


class StepFailedError(Exception):
    """The runner itself ends the step as failed."""


class Output:
    """A job's log. Each line is read for commands first, and masked by all that is known by then."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.lines: list[str] = []
        self.annotations: list[str] = []
        self._masks: set[str] = set()
        self._until = ""
        for secret in secrets:
            self.hide(secret)

    def hide(self, text: str) -> None:
        """The whole, and each of its lines. The runner also hides some encodings of it; here those would be seen."""
        self._masks |= {part for part in (text, *(line.strip() for line in text.splitlines())) if part}

    def masked(self, text: str) -> str:
        """The text with each secret replaced, the longest first."""
        for mask in sorted(self._masks, key=len, reverse=True):
            text = text.replace(mask, "***")
        return text

    def say(self, text: str) -> None:
        """What the runner writes itself."""
        self.lines += [self.masked(line) for line in text.splitlines()]

    def hear(self, line: str) -> None:
        """One line of a step's output."""
        command = COMMAND.fullmatch(line.strip())
        if self._until:
            if line.strip() == f"::{self._until}::":
                self._until = ""
        elif command:
            self._obey(command[1], unescape(command[2]))
            if command[1] == "add-mask":
                line = "::add-mask::***"
        self.lines.append(self.masked(line))

    def _obey(self, name: str, value: str) -> None:
        if name == "add-mask":
            self.hide(value)
        elif name == "stop-commands":
            self._until = value
        elif name in ANNOTATIONS:
            self.annotations.append(self.masked(f"{name}: {value}"))
        elif name not in SILENT:
            raise UnknownError(f"the command ::{name}::")


def unescape(text: str) -> str:
    """A command's value as it was meant."""
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def read_pairs(file: Path, name: str) -> dict[str, str]:
    """`K=V` and `K<<DELIMITER` of a command file.

    Raises:
        StepFailedError: Neither, a delimiter that never comes, or a variable that may not be set.
    """
    found: dict[str, str] = {}
    lines = iter(file.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if not line:
            continue
        key, sign, rest = re.match(r"(.*?)(=|<<|$)(.*)", line).groups()  # type: ignore[union-attr]
        if not key or not sign or (sign == "<<" and not rest):
            raise StepFailedError(f"Unable to process file command '{name}': Invalid format '{line}'")
        found[key] = rest if sign == "=" else "\n".join(_until(lines, rest, name))
    if name == "env" and "NODE_OPTIONS" in found:
        raise StepFailedError("Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.")
    return found


def _until(lines: Iterable[str], delimiter: str, name: str) -> Iterable[str]:
    for line in lines:
        if line == delimiter:
            return
        yield line
    raise StepFailedError(
        f"Unable to process file command '{name}': Invalid value. Matching delimiter not found '{delimiter}'"
    )


def read_summary(file: Path, output: Output) -> str:
    """A step's summary, masked line by line; one that is too large is dropped, and said."""
    if file.stat().st_size > MOST_SUMMARY_BYTES:
        output.say("##[error]$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k")
        return ""
    return "".join(output.masked(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True))
