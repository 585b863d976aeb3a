"""A clean copy of one commit: files to read for the model, a base for the jail."""

import asyncio
import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from error_monitor.fixes import scratch
from error_monitor.fixes.records import RefusedError
from error_monitor.redaction import CODE_RULES, RULES, redact

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
FILE_BYTES = 400_000
LINES = 400
MATCHES = 60
NAMES = 400
TREE_BYTES = 500 * 1024 * 1024
HIDDEN = re.compile(
    r"(?i)(?:^|/)(?:\.env[^/]*|\.git|\.ssh|\.aws|\.netrc|id_(?:rsa|ed25519)[^/]*|[^/]*\.(?:pem|key|p12|pfx))(?:/|$)"
)
"""Files that a model never reads, though the repository has them."""


class UnreadableError(ValueError):
    """A tool's argument that names nothing readable; the text goes back to the model."""


class Checkout:
    """The files of a commit, read-only: no links, nothing outside, nothing secret, bounded answers."""

    def __init__(self, root: Path, commit: str) -> None:
        self.root = root
        self.commit = commit
        self.files = tuple(sorted(_files(root)))
        self._known = frozenset(self.files)

    def text(self, path: str) -> str | None:
        """The whole text of a file that is there, else None."""
        if path not in self._known:
            return None
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def shown(self, path: str) -> str | None:
        """The text of a file as it may leave: without the secrets that are written in it."""
        text = self.text(path)
        return text and redact(text, CODE_RULES if path.endswith(".py") else RULES)

    def read(self, path: str, first: int = 1, last: int = LINES) -> str:
        """Numbered lines of a file.

        Raises:
            UnreadableError: The path is not one of the checkout's files.
        """
        text = self.shown(_plain(path))
        if text is None:
            raise UnreadableError("no such file in the checkout")
        first = max(1, first)
        lines = text.splitlines()[first - 1 : min(max(first, last), first + LINES - 1)]
        return "\n".join(f"{number}\t{line[:500]}" for number, line in enumerate(lines, first))

    def search(self, words: str, under: str = "") -> str:
        """The lines that contain a text, literally: a pattern could be made to run for ever."""
        if not words or len(words) > 200 or "\n" in words:
            raise UnreadableError("search for 1 to 200 characters of one line")
        found: list[str] = []
        for path in self._below(under):
            if words not in (self.text(path) or ""):
                continue
            for number, line in enumerate((self.shown(path) or "").splitlines(), 1):
                if words in line:
                    found.append(f"{path}:{number}\t{line.strip()[:300]}")
                    if len(found) == MATCHES:
                        return "\n".join([*found, f"(the first {MATCHES} only)"])
        return "\n".join(found) or "(no line has it)"

    def listing(self, under: str = "") -> str:
        """The names of the files below a folder."""
        names = list(self._below(under))
        more = [f"(and {len(names) - NAMES} more)"] if len(names) > NAMES else []
        return "\n".join([*names[:NAMES], *more]) or "(no files)"

    def _below(self, under: str) -> Iterator[str]:
        prefix = _plain(under).rstrip("/")
        return (path for path in self.files if prefix in ("", ".") or path == prefix or path.startswith(f"{prefix}/"))


def _plain(path: str) -> str:
    if len(path) > 300 or "\0" in path or "\\" in path or path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise UnreadableError("a path is relative to the repository and stays inside it")
    return path.removeprefix("./")


def _files(root: Path) -> Iterator[str]:
    for file in root.rglob("*"):
        name = file.relative_to(root).as_posix()
        if file.is_symlink() or not file.is_file() or HIDDEN.search(name) or file.stat().st_size > FILE_BYTES:
            continue
        yield name


@contextmanager
def unpacked(archive: bytes, commit: str, *, is_nested: bool = False) -> Iterator[Checkout]:
    """The files of an archive in a folder that is removed afterwards; GitHub's archives nest them in one folder.

    Raises:
        RefusedError: The archive is broken or too large.
    """
    with scratch.folder("fix") as outer:
        folder = (
            outer / "checkout"
        )  # the jail's user reads this one; nobody else of this machine gets through the outer
        folder.mkdir(mode=0o755)
        _unpack(archive, folder, is_nested=is_nested)
        yield Checkout(folder, commit)


def _unpack(archive: bytes, folder: Path, *, is_nested: bool) -> None:
    """Regular files and folders only: a link could lead a reader or a writer out of the checkout."""
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                size += max(0, member.size)
                if size > TREE_BYTES:
                    raise RefusedError(3, "the checkout is larger than 500 MiB")
                name = member.name.partition("/")[2] if is_nested else member.name
                if name and (member.isreg() or member.isdir()):
                    tar.extract(member.replace(name=name), folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as exc:
        raise RefusedError(3, f"the checkout cannot be unpacked: {type(exc).__name__}") from exc


async def archived(clone: str, commit: str) -> bytes:
    """A commit of a local clone, as an archive.

    Raises:
        RefusedError: The clone does not have it.
    """
    if not COMMIT.fullmatch(commit):
        raise RefusedError(3, "the deployed commit is not a full commit id")
    done = await _git(clone, "archive", "--format=tar", commit)
    if done is None:
        raise RefusedError(3, f"the clone does not have the deployed commit {commit[:12]}")
    return done


async def is_repository(clone: str) -> bool:
    """Return whether git can read the clone."""
    return await _git(clone, "rev-parse", "--git-dir") is not None


async def resolved(clone: str, name: str) -> str | None:
    """The full id of a commit, of a clone that has it; None otherwise."""
    if not re.fullmatch(r"[\w./-]{1,200}", name, re.ASCII) or name.startswith("-"):
        return None
    done = await _git(clone, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return done.decode().strip() if done else None


async def _git(clone: str, *words: str) -> bytes | None:
    # The clone's own configuration is not trusted: hooks, filters and aliases stay off.
    argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-C", clone, *words]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
             "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(120):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return said if process.returncode == 0 else None
