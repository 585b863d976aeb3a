"""The ways a run can end, one class and exit code per cause.

Codes 0-5 are pytest's own, so "tests failed" never looks like "the harness broke". Every text says what happened,
why (probably), what to do and where the evidence is; docs/troubleshooting.md has an entry for each class.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar


class BayError(Exception):
    """Base of every error testbay raises on purpose.

    Args:
        what: What happened, one line, naming the thing it happened to.
        why: The probable cause.
        todo: The next command or edit.
        evidence: Log lines, a path or a statement that shows it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", todo: str = "", evidence: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo
        self.evidence = evidence
        self.is_aside = False  # to be printed on standard error: a program reads the command's output

    def change(self, change: Callable[[str], str]) -> None:
        """Change each part, such as by masking secrets in what a migration printed."""
        self.what, self.why = change(self.what), change(self.why)
        self.todo, self.evidence = change(self.todo), change(self.evidence)

    def __str__(self) -> str:
        parts = [self.what]
        parts += [f"  why:      {self.why}"] if self.why else []
        parts += [f"  do:       {self.todo}"] if self.todo else []
        if self.evidence:
            head, *rest = self.evidence.splitlines()
            parts += [f"  evidence: {head}", *(f"            {line}" for line in rest)]
        return "\n".join(parts)


class DirtyLeaseWarning(UserWarning):
    """A test returned its lease with an open session, connection or subscriber, which testbay then closed."""


class ServiceEndedWarning(UserWarning):
    """The service crashed while a test ran that did not notice it."""


class ManifestError(BayError):
    """A manifest, compose file or argument that testbay cannot use."""

    exit_code = 10


class EngineUnavailableError(BayError):
    """No engine can run what the compose file names: no Docker, no program, no place to write, a fixed port taken."""

    exit_code = 11


class NotReadyError(BayError):
    """A dependency (or its stand-in) ended or stayed silent until the deadline."""

    exit_code = 12


class MigrationError(BayError):
    """A migration failed or is missing; the stack is torn down."""

    exit_code = 13


class SecretMissingError(BayError):
    """A secret named in the manifest is absent, or cannot be fetched."""

    exit_code = 14


class TestsDidNotRunError(BayError):
    """Planned tests did not run: none collected, or fewer ran than were collected."""

    __test__ = False  # the name starts with "Test"; pytest must not collect it
    exit_code = 15


class LeftBehindError(BayError):
    """Teardown could not remove something; the error names it."""

    exit_code = 16


class SecretLeakedError(BayError):
    """A file that a command wrote held a secret, or could not be searched for one."""

    exit_code = 17


class IncidentsError(BayError):
    """GitHub's issues could not be updated to match the checks. 20 to 23 are the verdicts of checks."""

    exit_code = 24


class HistoryError(BayError):
    """The history of checks cannot be read or written."""

    exit_code = 25


class NotDeliveredError(BayError):
    """A finding could not be delivered to Slack or to a Pushgateway, which may have asked for a pause (Retry-After)."""

    exit_code = 26
    asked_s: float = 0.0


class FilesError(BayError):
    """A file, the working folder or the standard output cannot be used: full, closed or gone."""

    exit_code = 27


class InterruptedRunError(BayError):
    """Ctrl-C, SIGTERM, or the end of the process that called testbay."""

    exit_code = 130


def remedy(error: OSError, other: str) -> str:
    """Return what to do about a file that cannot be used: `other`, unless the disk is at fault."""
    todo = {
        errno.ENOSPC: "make room on the disk",
        errno.EDQUOT: "make room within your quota",
        errno.EROFS: "work in a folder that can be written",
    }
    return todo.get(error.errno or 0, other)


def unusable(error: OSError) -> FilesError:
    """Turn an OSError into an error of testbay's own, with a remedy."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return FilesError("the working folder is gone", why="something removed it", todo="cd to a folder that is there")
    import traceback  # a guard imports this module, and never gets here

    frame = traceback.extract_tb(error.__traceback__)[-1:]
    return FilesError(
        f"{error.filename or 'a file'}: cannot be used: {reason}",
        why="the system refused what testbay needs to do there",
        todo=remedy(error, "make it usable for this user"),
        evidence="".join(f"{Path(at.filename).name}, line {at.lineno}" for at in frame),
    )
