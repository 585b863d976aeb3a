"""Templates of pages, which are compiled once, as Python's modules are."""

import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

from testbay import pages


@pytest.fixture(autouse=True)
def as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python keeps what it compiled."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def shown(folder: Path, text: str) -> str:
    """The page as a new process renders it."""
    (folder / "page.html").write_text(text)
    pages.environment.cache_clear()
    return pages.environment(folder).get_template("page.html").render(name="<you>")


def test_a_template_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its text changes."""
    compiled: list[Any] = []
    real = jinja2.Environment.compile

    def compile_(environment: jinja2.Environment, source: str, *more: Any) -> Any:
        compiled.append(source)
        return real(environment, source, *more)

    monkeypatch.setattr(jinja2.Environment, "compile", compile_)

    assert [shown(tmp_path, text) for text in ("a {{ name }}", "a {{ name }}", "b {{ name }}")] == [
        "a &lt;you&gt;",
        "a &lt;you&gt;",
        "b &lt;you&gt;",
    ]
    assert compiled == ["a {{ name }}", "b {{ name }}"]


def test_what_cannot_be_kept_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without room, a file that is damaged, a Python that keeps nothing."""
    (tmp_path / "__pycache__").write_text("no folder")
    assert shown(tmp_path, "{{ name }}") == "&lt;you&gt;"

    (tmp_path / "__pycache__").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert shown(tmp_path, "{{ name }}") == "&lt;you&gt;"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    shown(tmp_path, "{{ name }}")
    [kept] = (tmp_path / "__pycache__").iterdir()
    whole = kept.read_bytes()
    for length in (0, 20, 60, len(whole) - 1):
        kept.write_bytes(whole[:length])
        assert shown(tmp_path, "{{ name }}") == "&lt;you&gt;"
    assert kept.read_bytes() == whole
