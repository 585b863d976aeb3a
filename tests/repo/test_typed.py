"""The commands that pages and help texts tell you to type: each is parsed as testbay parses it, and none is run."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from testbay.cli.app import app

USAGE_ERROR: Any = typer.BadParameter.__base__  # of the click that typer brings


def commands(page: Path) -> list[list[str]]:
    """The commands in a page's console and bash blocks, as words, without prompt and variables before them."""
    blocks = re.findall(r"(?ms)^```(?:console|bash|sh)\n(.*?)^```", page.read_text(encoding="utf-8"))
    found = []
    for line in "\n".join(blocks).splitlines():
        words = shlex.split(line.strip().removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words and (words[0] in {"make", "testbay"} or words[0].lstrip("./").startswith("scripts/")):
            found.append(words)
    return found


def problem(words: list[str], root: Path) -> str:
    """Why this command would not work, or nothing."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return "" if set(named) <= set(targets) else "no such target"
    if words[0] == "testbay":
        return unparsed(list(itertools.takewhile(lambda word: word[0] not in "|>&;", words[1:])))
    return "" if (root / words[0]).is_file() else "no such file"


def unparsed(words: list[str]) -> str:
    """Why testbay would not take these words, or nothing: they are parsed and not executed."""
    group: Any = get_command(app)
    try:
        with group.make_context("testbay", list(words)) as context:
            command = group.get_command(context, words[0])
            if command is None:
                return "no such command"
            command.make_context(words[0], words[1:], parent=context)
    except typer.Exit:  # of --help, --version
        return ""
    except USAGE_ERROR as error:
        return str(error)
    return ""


def test_every_command_in_the_docs_exists(root: Path) -> None:
    """A command that a page tells you to type is there, with its options: the target, the sub-command or the script."""
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted(root.glob("docs/**/*.md"))]
    every = {shlex.join(words): words for page in pages for words in commands(page)}
    wrong = [f"{name}: {why}" for name, words in every.items() if (why := problem(words, root))]

    assert not wrong, "\n".join(wrong)
    assert "make integration-test" in every


def test_every_example_in_the_help_can_be_typed() -> None:
    """Each command shows one, and testbay takes it."""
    group: Any = get_command(app)
    texts = {name: command.help or "" for name, command in group.commands.items()}
    found = {
        name: re.search(r"Example: (?:eval \"\$\()?testbay ([^\n)]*[^\n).])", text) for name, text in texts.items()
    }
    wrong = {name: unparsed(shlex.split(match[1])) if match else "no example" for name, match in found.items()}

    assert {name: why for name, why in wrong.items() if why} == {}
    assert len(wrong) > 20
