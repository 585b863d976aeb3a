"""Commands of the manifest: as words, or by a shell where only a shell reads them as written."""

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from testbay.harness import commandline

VALUES = {"port": "8001", "postgres.url": "postgresql://a b", "DATABASE_URL": "postgresql://$x"}


@pytest.mark.parametrize(
    "command",
    ["a && b", "a | b", "a; b", "VAR=x a", "a $X", 'a "$X"', "cd x", "a > b", "a *.sql", "a ~/b", "a `b`", "a $(b)"],
)
def test_shell_words_need_a_shell(command: str) -> None:
    """As arguments they would change what runs, without a word."""
    assert commandline.needs_shell(command)


@pytest.mark.parametrize("command", ["a b", "a 'x && y'", r"a \$X", "a --port={port}", "a 'b*'", "a '$X' \"c d\""])
def test_plain_words_need_no_shell(command: str) -> None:
    """Quoted, they are ordinary letters."""
    assert not commandline.needs_shell(command)


def test_placeholders_are_filled_in_word_by_word() -> None:
    """A value with a space stays one word; other braces stay as they are."""
    argv = commandline.argv(
        "python -m app --port {port} {postgres.url} {nope} {}", VALUES, str(Path(sys.executable).parent)
    )

    assert argv == [sys.executable, "-m", "app", "--port", "8001", "postgresql://a b", "{nope}", "{}"]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("echo {DATABASE_URL} && echo ${HOME:+home}", 0, "postgresql://$x\nhome\n"),
        ("false; echo later", 1, ""),
        ("false | cat", 1, ""),
    ],
)
def test_shell_gives_up_at_the_first_failure(command: str, code: int, said: str) -> None:
    """Also in a pipe: what follows would hide it."""
    argv = commandline.argv(command, VALUES, os.environ["PATH"])

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (code, said)


@pytest.mark.parametrize("enabled", [True, False])
def test_programs_of_a_user_installation_are_found_last(monkeypatch: pytest.MonkeyPatch, *, enabled: bool) -> None:
    """`pip install --user` puts them in a folder that is often not on the PATH; an environment has none there."""
    monkeypatch.setattr(site, "ENABLE_USER_SITE", enabled)
    monkeypatch.setattr(site, "getuserbase", lambda: "/base")
    own = str(Path(sys.executable).parent)

    assert commandline.search_path(own, "/usr/bin") == f"{own}:/usr/bin" + ":/base/bin" * enabled
    assert commandline.search_path("/env/bin", "/usr/bin") == "/env/bin:/usr/bin"


def test_python_is_the_environments_behind_newer_clients_of_postgresql(tmp_path: Path) -> None:
    """A command that is run as by hand has those first on its PATH; they bring no Python."""
    clients, own = tmp_path / "clients", tmp_path / "env/bin"
    clients.mkdir()
    own.mkdir(parents=True)
    (own / "python3").touch(0o755)

    assert commandline.argv("python -m app", {}, f"{clients}:{own}:/usr/bin")[0] == str(own / "python3")
