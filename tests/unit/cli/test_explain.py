"""`testbay explain`: an error's address leads somewhere without a checkout."""

import re
from pathlib import Path

import pytest

from testbay import errors
from testbay.cli import explain
from testbay.errors import ManifestError

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        ("", "add-a-dependency   Add a dependency\n"),
        ("12", "## Exit 12: a server that does not get ready\n"),
        ("1", "## Exit 1: tests failed\n"),
        ("20", "## Exit codes\n"),
        ("reference", "# Reference\n"),
        ("docs/reference.md#fixtures", "## Fixtures\n"),
        ("reference/records", "# What a run writes\n"),
        ("MigrationError", "### `"),
        ("unittest", "## I use unittest\n"),
        ("Alembic", "## I have a migration tool\n"),  # so a link calls it
        ("after deploy", "# After the deploy\n"),
        ("how do I get secrets", "testbay explain aws-setup\ntestbay explain aws-setup#"),
        ("PGHOST", "testbay explain "),  # in no heading
        ("redis", "testbay explain "),
        ("docker has no Compose v2", "### `docker has no Compose v2`"),  # `… has no …` is further up
        ("no psql on this machine", "### `no PostgreSQL server program on this machine`"),
        ("nats: port 4222, which the manifest asks for, is taken", "### `…: port …, which the manifest asks for"),
    ],
)
def test_each_address_leads_somewhere(asked: str, begins: str) -> None:
    """A code, a class, a message, a page, a section, a word; of several sections their addresses."""
    assert explain.explanation(asked, DOCS).startswith(begins)


def test_every_address_in_the_source_leads_somewhere() -> None:
    """What an error tells to type is answered, and no message names a file of the checkout."""
    sources = {file: file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py")}
    code = "\n".join(re.sub(r'(?s)""".*?"""', "", text) for text in sources.values())
    asked = set(re.findall(r"`testbay explain ([\w/#-]+)`", code))
    codes = [
        str(kind.exit_code)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.BayError)
    ]

    assert [word for word in (*asked, *codes) if not explain.explanation(word, DOCS)] == []
    assert ("reference/manifest" in asked, re.findall(r"docs/[a-z-]+\.md", code)) == (True, [])


@pytest.mark.parametrize("asked", ["nonsense", "reference#nonsense"])
def test_what_is_unknown_is_said(asked: str) -> None:
    """With what there is."""
    with pytest.raises(ManifestError, match="nonsense"):
        explain.explanation(asked, DOCS)


def test_all_that_tab_offers_is_explained() -> None:
    """Exit codes, classes of errors and pages."""
    offered = explain.subjects()

    assert {"12", "130", "NotReadyError", "your-ci", "reference/manifest"} <= set(offered)
    assert [word for word in offered if not explain.explanation(word, DOCS)] == []
