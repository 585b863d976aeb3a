"""Reads what a run of the harness left in the jail. The code under test wrote it: bounded, and never run."""

import io
import json
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from error_monitor.fixes.jail import Ended
from error_monitor.fixes.records import Outcome
from error_monitor.patterns.fingerprint import fingerprint
from error_monitor.reading.reader import Reader
from error_monitor.redaction import redact

FILE_BYTES = 16 * 1024 * 1024
MOST_FILES = 40
TAIL_LINES = 60
_NOT_THE_SERVICE = {"postgres.log", "dragonfly.log", "nats.log", "replay.log"}


def outcome(name: str, ended: Ended, prefix: str) -> Outcome:
    """The run as far as it can be believed; a problem where it left nothing that can."""
    files = _files(ended.results)
    tail = _tail(files.get("output.log", b"").decode("utf-8", "replace") or ended.said)
    code = files.get("exit", b"").decode("ascii", "replace").strip()
    if ended.problem or not code.lstrip("-").isdigit():
        problem = ended.problem or "the jail ended without a result"
        return Outcome(name=name, exit_code=-1, seconds=ended.seconds, problem=problem, tail=tail)
    tests, cases = _tests(files.get("tests.jsonl", b"")), _cases(files.get("junit.xml", b""))
    if not _agree(tests, cases):
        problem = "its two records of the tests contradict each other"
        return Outcome(name=name, exit_code=-1, seconds=ended.seconds, problem=problem, tail=tail)
    executed, statements = _coverage(files.get("coverage.json", b""), prefix)
    return Outcome(
        name=name,
        exit_code=int(code),
        seconds=ended.seconds,
        tests=tests,
        fingerprints=frozenset(_fingerprints(files, cases)),
        executed=executed,
        statements=statements,
        tail=tail,
    )


def _files(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                opened = tar.extractfile(member) if member.isreg() and member.size <= FILE_BYTES else None
                if opened is not None and len(found) < MOST_FILES:
                    found[member.name] = opened.read()
    except (tarfile.TarError, EOFError):
        return found
    return found


def _tests(lines: bytes) -> dict[str, str]:
    """Read each test's outcome, over setup, call and teardown."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        entry = _json(line)
        if not isinstance(entry.get("id"), str) or not isinstance(entry.get("outcome"), str):
            continue
        test, ended = entry["id"], entry["outcome"]
        worse = found.get(test) in (None, "passed") or ended in ("failed", "error")
        if worse:
            found[test] = ended
    return found


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _agree(tests: Mapping[str, str], cases: Sequence[ET.Element]) -> bool:
    """Return whether testbay's record and pytest's own report tell of the same tests: one alone is easier to forge."""
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    if any(ended in ("failed", "error") for ended in tests.values()):
        return bool(bad)  # pytest counts a test twice whose end fails, too
    return not bad and len(cases) == len(tests)


def _fingerprints(files: Mapping[str, bytes], cases: Sequence[ET.Element]) -> set[str]:
    """The patterns of the failures that pytest reports, and of the service's own log."""
    found = [node for case in cases for kind in ("failure", "error") for node in case.iter(kind)]
    texts = [_raised(node.text or "", node.get("message", "")) for node in found]
    texts += [
        content.decode("utf-8", "replace")
        for name, content in files.items()
        if name.startswith("logs/") and name.partition("/")[2] not in _NOT_THE_SERVICE
    ]
    keys: set[str] = set()
    for text in texts:
        reader = Reader()
        events = reader.feed(text.splitlines()) + reader.flush()
        keys |= {fingerprint(event).key for event in events}
    return keys


def _cases(junit: bytes) -> list[ET.Element]:
    """The tests of pytest's own report."""
    try:
        tree = ET.fromstring(junit.decode("utf-8", "replace")) if junit else None  # noqa: S314 -- expat bounds entities
    except ET.ParseError:
        return []
    return [] if tree is None else list(tree.iter("testcase"))


def _raised(text: str, message: str) -> str:
    """A printed failure without what its message adds: a test may put a whole traceback into that."""
    text, message = text.rstrip(), message.rstrip()
    first, _, more = message.partition("\n")
    return text[: -len(more)] if more and text.endswith(f"{first}\n{more}") else text


Lines = dict[str, frozenset[int]]


def _coverage(text: bytes, prefix: str) -> tuple[Lines, Lines]:
    """The lines that ran and all that could, by path from the root of the repository."""
    executed: Lines = {}
    statements: Lines = {}
    files = _json(text).get("files")
    for name, found in files.items() if isinstance(files, dict) else ():
        if not isinstance(found, dict):
            continue
        path = f"{prefix}{name}"
        ran = frozenset(one for one in found.get("executed_lines", []) if isinstance(one, int))
        missed = frozenset(one for one in found.get("missing_lines", []) if isinstance(one, int))
        executed[path], statements[path] = ran, ran | missed
    return executed, statements


def _tail(text: str) -> str:
    """The last lines, without secrets, for the evidence."""
    return "\n".join(redact(line[:300]) for line in text.splitlines()[-TAIL_LINES:])
