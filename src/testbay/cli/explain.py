"""`testbay explain`: the pages of docs/, which are part of the package."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli.options import argument
from testbay.errors import ManifestError
from testbay.output import Voice
from testbay.text import nearest

app = typer.Typer()
_PACKAGE = Path(__file__).parents[1]
_HEADING = re.compile(r"(?m)^(?=#{1,3} )")
_FORM = re.compile(r"`([^`]+)`")
_EVERY_CODE = "## Exit codes"
_LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]*)(#[\w-]+)?\)")
_LISTED = 15


def _offered(incomplete: str) -> list[str]:
    return [name for name in subjects() if name.startswith(incomplete)]


@app.command()
def explain(
    what: Annotated[
        list[str] | None,
        argument(
            "WHAT",
            "An exit code, an error's message or class, a page, its section, a word; the pages' list if left out.",
            complete=_offered,
        ),
    ] = None,
) -> None:
    """Explain an error or show a page of the documentation, without network or checkout.

    Example: testbay explain 12
    """
    Voice(environ=configuration.environ()).say(explanation(" ".join(what or []), _pages()))


def _pages() -> Path:
    """Locate the documentation: in the package, or beside the source in a checkout."""
    inside = _PACKAGE / "docs"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "docs"


def subjects() -> list[str]:
    """The exit codes, the classes of errors and the pages that can be asked for."""
    folder = _pages()
    text = (folder / "troubleshooting.md").read_text(encoding="utf-8") if folder.is_dir() else ""
    codes = re.findall(r"(?m)^## Exit (\d+):", text)
    classes = sorted(set(re.findall(r"`(\w+Error)`", text)))
    return [*codes, *classes, *(_name(file, folder) for file in sorted(folder.rglob("*.md")) if file.stem != "README")]


def explanation(topic: str, folder: Path) -> str:
    """Return the help text for an exit code, an error or a page.

    Raises:
        ManifestError: Nothing is known of it.
    """
    pages = {_name(file, folder): file for file in sorted(folder.rglob("*.md")) if file.stem != "README"}
    name, _, section = topic.removeprefix("docs/").partition("#")
    if name.removesuffix(".md") in pages:
        return _page(_text(name.removesuffix(".md"), pages, section), section)
    if not topic:
        return "\n".join([*_titles(pages), "", "testbay explain PAGE, or an exit code: testbay explain 12"])
    if found := _troubles(topic, pages):
        return "\n\n".join(found)
    if about := _sections_about(topic, pages) or _sections_with(topic, pages):
        listed = "\n".join(f"testbay explain {address}" for address in about[:_LISTED])
        return explanation(about[0], folder) if len(about) == 1 else listed
    close = nearest(topic, pages)
    todo = f"name an exit code, an error's first line, another word, or a page: {', '.join(pages)}"
    raise ManifestError(f"no page describes {topic[:200]!r}{close}", todo=todo)


def _troubles(topic: str, pages: Mapping[str, Path]) -> list[str]:
    """List the sections on an error or an exit code; of a code without one, that of all codes."""
    trouble = _sections(pages["troubleshooting"].read_text(encoding="utf-8"))
    found = [text for text in trouble if _concerns(text, topic)] or _nearest_forms(trouble, topic)
    if topic.isdigit() and not any(text.startswith(f"## Exit {topic}:") for text in found):
        reference = _sections(pages["reference/commands"].read_text(encoding="utf-8"))
        found = [*(text for text in reference if text.startswith(_EVERY_CODE)), *found]
    return found


def _sections_about(topic: str, pages: Mapping[str, Path]) -> list[str]:
    """List the addresses of pages and sections that have all longer words of a topic in their heading or in a link."""
    words = [word.rstrip("s") for word in re.findall(r"\w{4,}", topic.lower())]
    files = {file.resolve(): name for name, file in pages.items()}
    found: dict[str, None] = {}
    for name, file in pages.items():
        if name != "troubleshooting":  # where an error leads to
            places = _places(name, file, files)
            found |= {address: None for said, address in places if all(word in said.lower() for word in words)}
    return [address for address in found if words and "troubleshooting" not in address]


def _sections_with(topic: str, pages: Mapping[str, Path]) -> list[str]:
    """List the addresses of sections whose text has a topic in it, as in a table's row; most mentions first."""
    whole = re.compile(rf"(?i)(?<!\w){re.escape(topic)}(?!\w)")
    found: dict[str, int] = {}
    for name, file in pages.items():
        for piece in _sections(file.read_text(encoding="utf-8")):
            if mentions := len(whole.findall(piece)):
                found[f"{name}#{_anchor(piece)}"] = mentions
    return sorted(found, key=lambda address: -found[address])


def _places(name: str, file: Path, files: Mapping[Path, str]) -> Iterator[tuple[str, str]]:
    """Yield the title of a page, its headings and the words of its links, each with the address that it leads to."""
    text = file.read_text(encoding="utf-8")
    title, *headings = (piece.partition("\n")[0] for piece in _sections(text))
    yield title, name
    yield from ((heading, f"{name}#{_anchor(heading)}") for heading in headings)
    for said, to, section in _LINK.findall(text):
        if there := files.get((file.parent / to).resolve() if to else file.resolve()):
            yield said, f"{there}{section}"


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _text(name: str, pages: Mapping[str, Path], section: str) -> str:
    """The text of a page; for a section of the documentation, also the pages in the folder of that name."""
    parts = [file for part, file in pages.items() if section and part.startswith(f"{name}/")]
    return "\n".join(file.read_text(encoding="utf-8") for file in (pages[name], *parts))


def _titles(pages: Mapping[str, Path]) -> Iterator[str]:
    for name, file in pages.items():
        title = file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        yield f"{name:<18} {title}"


def _sections(text: str) -> list[str]:
    """Split a page at its headings; a `#` comment in a fenced block does not count."""
    fences = [text[: found.start()].count("\n```") % 2 for found in _HEADING.finditer(text)]
    cuts = [found.start() for found, inside in zip(_HEADING.finditer(text), fences, strict=True) if not inside]
    return [text[begin:end].strip() for begin, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _page(text: str, section: str) -> str:
    """Return a page, or the section below the heading that the address names."""
    if not section:
        return text.strip()
    found = [piece for piece in _sections(text) if _anchor(piece) == _anchor(f"# {section}")]
    if not found:
        raise ManifestError(
            f"no section {section!r}{nearest(section, map(_anchor, _sections(text)))} in this page",
            todo="leave out the part after the #",
        )
    return found[0]


def _anchor(piece: str) -> str:
    heading = piece.partition("\n")[0].lstrip("# ").lower()
    return re.sub(r"[^\w -]", "", heading).replace(" ", "-")


def _concerns(piece: str, topic: str) -> bool:
    """Return whether a piece of the troubleshooting page is about an exit code or an error's class."""
    if topic.isdigit():
        return bool(re.match(rf"#+ Exit {topic}:|### (?s:.*?)\bexit {topic}\b", piece))
    return bool(re.search(rf"`{re.escape(topic)}`", piece)) and topic.endswith("Error")


def _nearest_forms(pieces: list[str], topic: str) -> list[str]:
    """The entries for a message: of the forms that match it, those with the most words in common."""
    fits = [(max(_words_in_common(piece, topic), default=0), piece) for piece in pieces if piece.startswith("### ")]
    most = max((common for common, _ in fits), default=0)
    return [piece for common, piece in fits if common == most > 0]


def _words_in_common(piece: str, topic: str) -> Iterator[int]:
    """Measure each matching form of an entry's messages: its heading, and those listed after "also"."""
    heading, _, rest = piece.partition("\n")
    for form in _FORM.findall(f"{heading}\n{rest.partition('**')[0]}"):
        words = [part for part in (part.strip(" :,") for part in " ".join(form.split()).split("…")) if part]
        is_name = form.isidentifier()  # of a class, a command, a setting
        if words and not is_name and all(word in topic for word in words):
            yield len("".join(words))
