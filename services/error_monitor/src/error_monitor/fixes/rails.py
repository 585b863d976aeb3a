"""The guard rails below the model: paths, sizes, and all or nothing."""

import ast
import re
from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from error_monitor.fixes import hiding, lazy, weakening, writing
from error_monitor.fixes.checkout import HIDDEN, Checkout
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import Answer, Edit, RefusedError
from error_monitor.redaction import REDACTED, redact

MOST_FILES = 6
MOST_BYTES = 60_000
MOST_CHANGED = 200
FORBIDDEN = re.compile(
    r"(?i)(?:^|/)(?:\.[^/]+|conftest\.py|migrations?|alembic|[^/]*\.lock|requirements[^/]*|pyproject\.toml|setup\.(?:py|cfg)"
    r"|pytest\.ini|tox\.ini|noxfile\.py|makefile|dockerfile[^/]*|jenkinsfile|[^/]*\.ya?ml|[^/]*secret[^/]*"
    r"|[^/]*credential[^/]*|sitecustomize\.py|usercustomize\.py|[^/]*\.pth|scripts|ci|workflows)(?:/|$)"
)
"""CI, workflows, locks, secrets, migrations and what decides how tests run: a fix leaves them alone."""
_PATH = re.compile(r"[\w][\w./-]{0,200}\.py", re.ASCII)


def check(answer: Answer, checkout: Checkout, settings: FixSettings, kind: str) -> None:
    """Refuse an answer as a whole when any part of it breaks a rail.

    Raises:
        RefusedError: With the rail that it breaks.
    """
    if answer.test is None or not answer.patch:
        raise RefusedError(4, "the answer has no test, or no change: a fix needs both")
    try:
        _check(answer, answer.test, checkout, settings, kind)
    except RecursionError as exc:
        raise RefusedError(4, "the answer nests deeper than anybody writes") from exc


def _check(answer: Answer, test: Edit, checkout: Checkout, settings: FixSettings, kind: str) -> None:
    edits = [test, *answer.patch]
    _sizes(edits)
    for edit in edits:
        _path(edit, checkout)
    _places(answer, checkout, settings)
    _secrets(edits)
    for edit in edits:
        text = checkout.text(edit.path) or ""
        writing.check(text, edit.content, edit.path)
        if not edit.content.strip():
            raise RefusedError(4, f"{edit.path} is empty: a fix does not delete files")
        before, after = _tree(text, edit.path), _tree(edit.content, edit.path)
        if _is_test(edit.path, settings):
            weakening.check_test(before, after, edit.path)
        else:
            weakening.check_source(before, after, edit.path)
            lazy.check(before, after, kind, edit.path)
            hiding.check(before, after, kind, edit.path)


def _sizes(edits: list[Edit]) -> None:
    if len(edits) > MOST_FILES:
        raise RefusedError(4, f"the answer edits {len(edits)} files, more than {MOST_FILES}")
    if len({edit.path for edit in edits}) != len(edits):
        raise RefusedError(4, "the answer edits one file twice")
    for edit in edits:
        if len(edit.content.encode("utf-8", "replace")) > MOST_BYTES:
            raise RefusedError(4, f"{_harmless(edit.path)} is larger than {MOST_BYTES} bytes")


def _path(edit: Edit, checkout: Checkout) -> None:
    """A path is plain, inside the checkout, and no part of it is a link or forbidden."""
    path = edit.path
    parts = PurePosixPath(path).parts
    if not _PATH.fullmatch(path) or ".." in parts or "." in parts or "//" in path or "/./" in path:
        raise RefusedError(4, f"{_harmless(path)} is not a plain path of a Python file inside the repository")
    if FORBIDDEN.search(path) or HIDDEN.search(path):
        raise RefusedError(4, f"{_harmless(path)} is a file that a fix may not touch")
    at = checkout.root
    for part in parts:
        at = at / part
        if at.is_symlink():
            raise RefusedError(4, f"{_harmless(path)} leads through a symbolic link")
        if at != checkout.root / path and at.exists() and not at.is_dir():
            raise RefusedError(4, f"{_harmless(path)} would make a folder of a file")
    if at.is_dir():
        raise RefusedError(4, f"{_harmless(path)} is a folder")


def _places(answer: Answer, checkout: Checkout, settings: FixSettings) -> None:
    """The test is a new file among the tests; changes are to files that the commit has."""
    assert answer.test is not None
    name = PurePosixPath(answer.test.path).name
    if not _is_test(answer.test.path, settings) or not name.startswith("test_"):
        raise RefusedError(4, f"the test {_harmless(answer.test.path)} is not a test_*.py below {_below(settings)[1]}")
    if checkout.text(answer.test.path) is not None:
        raise RefusedError(4, f"the test {answer.test.path} would replace a file: a fix brings a new one")
    if answer.test.path.lower() in {file.lower() for file in checkout.files}:
        raise RefusedError(4, f"the test {answer.test.path} would replace a file where case does not count")
    sources, _ = _below(settings)
    changed = 0
    for edit in answer.patch:
        before = checkout.text(edit.path)
        if not edit.path.startswith(tuple(f"{one}/" for one in sources)):
            raise RefusedError(4, f"{_harmless(edit.path)} is outside the sources of the service")
        if before is None:
            raise RefusedError(4, f"{edit.path} is not in the commit: the patch is for another base")
        if REDACTED in edit.fresh and checkout.shown(edit.path) != before:
            raise RefusedError(4, f"{edit.path} would lose a secret of the source, which the model is not shown")
        changed += len(changed_lines(before, edit.content))
        if before == edit.content:
            raise RefusedError(4, f"{edit.path} is the same as before")
    if changed > MOST_CHANGED:
        raise RefusedError(4, f"the patch changes {changed} lines, more than {MOST_CHANGED}")
    _same_base(answer, checkout)


def _same_base(answer: Answer, checkout: Checkout) -> None:
    """A whole file that keeps little of the commit's was written for another base."""
    for edit in answer.patch:
        before = (checkout.text(edit.path) or "").splitlines()
        kept = set(edit.content.splitlines())
        meant = [line for line in before if line.strip()]
        if meant and sum(line in kept for line in meant) < len(meant) / 2:
            raise RefusedError(4, f"{edit.path} keeps less than half of its lines: the patch is for another base")


def compared(answer: Answer, checkout: Checkout) -> Answer:
    """The answer with what each edit adds to the commit, and with the secrets that the model was not shown."""
    test = answer.test and _compared(answer.test, checkout)
    patch = tuple(_compared(_restored(edit, checkout), checkout) for edit in answer.patch)
    return replace(answer, test=test, patch=patch)


def _restored(edit: Edit, checkout: Checkout) -> Edit:
    """Put back each line of the commit that was shown without its secret; others stay as the answer has them."""
    whole, shown = (text.split("\n") for text in (checkout.text(edit.path) or "", checkout.shown(edit.path) or ""))
    hidden: dict[str, list[str]] = {}
    for was, line in zip(whole, shown, strict=True):
        if was != line:
            hidden.setdefault(line, []).append(was)
    if any(REDACTED not in line for line in hidden):
        return edit  # a key of several lines: which empty line was which is not known
    lines = [hidden[line].pop(0) if hidden.get(line) else line for line in edit.content.split("\n")]
    return replace(edit, content="\n".join(lines))


def _compared(edit: Edit, checkout: Checkout) -> Edit:
    before = Counter((checkout.text(edit.path) or "").splitlines())
    added = []
    for line in edit.content.splitlines():
        if before[line]:
            before[line] -= 1
        else:
            added.append(line)
    return replace(edit, added="\n".join(added))


def _secrets(edits: list[Edit]) -> None:
    for edit in edits:
        if redact(edit.fresh) != edit.fresh:
            raise RefusedError(4, f"{edit.path} contains what looks like a secret")


def _below(settings: FixSettings) -> tuple[list[str], str]:
    return [f"{settings.prefix}{one}" for one in settings.sources], f"{settings.prefix}{settings.tests}"


def _is_test(path: str, settings: FixSettings) -> bool:
    return path.startswith(f"{_below(settings)[1]}/")


def _tree(text: str, path: str) -> ast.Module:
    """Parse a file; one that the commit does not have is an empty one."""
    try:
        return ast.parse(text if text.strip() else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise RefusedError(4, f"{path} is not Python: {type(exc).__name__}") from exc


def changed_lines(before: str, after: str) -> set[int]:
    """The numbers of the lines that are new or different in the new text."""
    import difflib

    old, new = before.splitlines(), after.splitlines()
    found: set[int] = set()
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            found |= set(range(start + 1, end + 1)) or ({start + 1} if last > first else set())
    return found


def _harmless(path: str) -> str:
    """A path as the answer gave it, made harmless for a reason that is shown."""
    return ascii(path[:100])
