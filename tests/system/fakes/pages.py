"""The pages' examples, taken out of the pages: files, commands and what the commands say."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.system.conftest import REPOSITORY, Done


def page(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def files(text: str) -> dict[str, str]:
    """The files a page shows in full: a path in backticks on its own line, then the block; an edit (diff) is none."""
    return dict(re.findall(r"(?ms)^`([\w./-]+)`\n\n```(?!diff)\w+\n(.*?)^```", text))


def sessions(text: str) -> list[tuple[str, list[str]]]:
    """The commands in a page's console blocks, each with the lines the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"(?ms)^```console\n(.*?)^```", text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line not in ("", "…"):
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    """Without what differs from run to run: numbers, ids, padding, and what runs how is said in brackets."""
    line = re.sub(r"-[0-9a-f]{6}\b", "-ID", line)
    line = re.sub(r"={3,}", "===", line)  # pytest fills its lines up
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)*", "N", re.sub(r"\(.*\)", "()", line))).strip()


def missing(shown: list[str], said: list[str]) -> list[str]:
    """The lines a page shows that a command did not say, in that order."""
    rest = iter([plain(line) for line in said])
    return [line for line in shown if plain(line) not in rest]


def write(file: Path, text: str, *, executable: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755 if executable else 0o644)


def follow(at_the_prompt: Callable[[str], Done], text: str) -> None:
    """Type every command of a page; each succeeds and says what the page shows."""
    for command, shown in sessions(text):
        done = at_the_prompt(command)
        assert (command, done.code, missing(shown, done.lines)) == (command, 0, []), done.out
