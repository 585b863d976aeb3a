"""`testbay open`: restore a failed test's state on real servers, and run psql, redis-cli or any other command there."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from testbay import process
from testbay.errors import ManifestError
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.state import shown
from testbay.harness.leases import attach
from testbay.harness.run import archives
from testbay.harness.run.archives import Archive, Kept
from testbay.harness.stack import usercommand
from testbay.harness.stack.prepared import Stages, prepared
from testbay.harness.stack.request import Request, decide
from testbay.harness.stack.stack import Stack
from testbay.manifest.project import find_service
from testbay.output import Voice
from testbay.settings import Settings
from testbay.text import age

_LISTED = 10
_LEFT_BY = (
    "the first failing tests of a run leave it, in the newest twenty runs, if a fixture of testbay such as `postgres` "
    "or `bay` gave them a database of their own; tests that share the run's database leave none"
)


def choose(project: Path, test: str | None, folder: Path | None) -> Kept:
    """Choose an archive by folder, by number in the list, by a test's id or part of it; else the newest.

    Raises:
        ManifestError: None fits, or several tests' do; says which there are.
    """
    # Python's function, as the id of a test may be longer than any name: it says False to that.
    if folder is None and test is not None and os.sep in test and os.path.isdir(project / test):  # noqa: PTH112
        folder = project / test
    if folder is not None:
        return Kept(folder, archives.read(folder))
    found = archives.find(project)
    if test is not None and test.isdecimal() and 1 <= int(test) <= len(found):
        return Kept(found[int(test) - 1].folder, archives.read(found[int(test) - 1].folder))
    return _named([(kept.archive.about.test, kept) for kept in found if kept.archive], test or "")


def _named(found: list[tuple[str, Kept]], test: str) -> Kept:
    """Choose the newest archive of the only test whose id equals, or else contains, `test`."""
    alike = [(name, kept) for name, kept in found if name == test] or [entry for entry in found if test in entry[0]]
    names = list(dict.fromkeys(name for name, _ in alike))
    if len(names) == 1 or (alike and not test):
        return alike[0][1]
    listed = "\n".join(shown(name) for name in list(dict.fromkeys(name for name, _ in alike or found))[:_LISTED])
    todo = "testbay open --list, then a number; --archive FOLDER for one from elsewhere"
    if names:
        raise ManifestError(f"{len(names)} tests match {shown(test)}", todo=todo, evidence=listed)
    raise ManifestError(
        "no test's state is kept" + (f" by the name {shown(test)}" if test else ""),
        why=_LEFT_BY,
        todo=todo,
        evidence=listed,
    )


def show_list(project: Path, voice: Voice) -> None:
    """List the archives, newest first, each with its test, error, parts and folder."""
    found = archives.find(project)
    for number, (folder, archive, refused) in enumerate(found, 1):
        where = shown(str(folder.relative_to(project)))
        if archive is None:
            voice.say(f"{number:>3}  {where} cannot be opened: {refused}")
            continue
        names = [part.name for part in archive.parts]
        parts = ", ".join(name if name.endswith(".log") else name.partition(".")[0] for name in names)
        size = f"{archive.bytes / 1000:.0f} kB"
        voice.say(f"{number:>3}  {age(time.time() - archive.when.timestamp()):>4}  {shown(archive.about.test)}")
        voice.detail(f"     {shown(archive.about.error)}")
        voice.detail(f"     {parts} ({size}) in {where}")
    if not found:
        voice.say("no test's state is kept")
        voice.detail(_LEFT_BY)


def reopen(kept: Kept, project: Path, settings: Settings, voice: Voice, words: Sequence[str]) -> int:
    """Restore an archive and run a command on it (psql by default); return the command's exit code.

    Raises:
        ManifestError: The archive is damaged, of a service that is not here, or its servers refuse it.
    """
    folder, archive = kept.folder, kept.archive
    assert archive is not None
    archives.check(folder, archive)
    service = find_service(archive.about.service, project)
    words = list(words) or ["psql"]
    voice.say(f"==> Open {shown(archive.about.test)}: {shown(archive.about.error)}")
    for said in (*archive.missing, *(f"{p.name} is without {p.left_out}" for p in archive.parts if p.left_out)):
        voice.detail(f"not kept: {shown(said)}")
    if (lines := _view(folder, archive, words, settings.environ)) is not None:
        for line in lines:
            Voice(environ=settings.environ).say(line)
        return 0
    with process.signals_as_errors():
        request = decide(service, project, settings, voice.progress)
        with _stack(request, voice) as stack:
            for refused in archives.restore(folder, archive, stack.endpoints):
                voice.detail(f"not restored: {refused}")
            return usercommand.run(stack, words)


def _view(folder: Path, archive: Archive, words: list[str], environ: Mapping[str, str]) -> Iterator[str] | None:
    """Show kept streams, or kept keys if this machine has no client for them; None for any other command."""
    if words == ["nats"]:
        from testbay.harness.dependencies.nats import state as nats_archive

        file, view = nats_archive.FILE, nats_archive.view
    elif words in ([name] for name in dragonfly.CLIENTS) and not dragonfly.client_program(environ):
        from testbay.harness.dependencies.dragonfly import state as dragonfly_archive

        file, view = dragonfly_archive.FILE, dragonfly_archive.view
    else:
        return None
    if file not in (names := [part.name for part in archive.parts]):
        raise ManifestError(
            f"{folder} has no {file}",
            why="; ".join(map(shown, archive.missing)) or "no such server was kept for that test",
            todo=f"open what is there: {', '.join(map(shown, names))}",
        )
    return viewed(folder / file, view)


def viewed(file: Path, view: Callable[[Path], Iterator[str]]) -> Iterator[str]:
    """Yield the lines that show one file of an archive.

    Raises:
        ManifestError: It is not what testbay writes.
    """
    try:
        yield from view(file)
    except archives.MISSHAPEN as error:
        raise archives.refused(file.parent, f"{file.name} is not what testbay writes: {shown(repr(error))}") from None


@contextmanager
def _stack(request: Request, voice: Voice) -> Iterator[Stack]:
    """A lease on the kept stack with this configuration, else a stack that ends with the command."""
    if borrowed := attach.borrow(request):
        voice.detail(f"on {borrowed.lease.name} of the kept stack {borrowed.stack.id} ({request.engine})")
        try:
            yield borrowed.stack
        finally:
            borrowed.close()
        return
    with prepared(request, _Bare(voice, migrates=False)) as stack:
        yield stack


class _Bare(Stages):
    """Starts a stack without migrations: it will contain only what the archive restores."""

    def starting(self, request: Request) -> AbstractContextManager[None]:
        return self.voice.step(f"Start {request.said}, until the command ends")

    def started(self, stack: Stack) -> None:
        """Print nothing: the step's title names the servers."""
