"""A container as its compose file determines it: mounted files, variables, the command."""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from testbay.errors import ManifestError
from testbay.harness.dependencies import shell
from testbay.manifest.compose.reading import ComposeService, Granted, Volume
from testbay.text import one_line

_LIMIT_BYTES = 1_000_000
_WRAPPERS = ("docker-entrypoint.sh", "entrypoint.sh", "run.sh", "tini", "dumb-init", "--")
_AS_USER = ("gosu", "su-exec")  # a user's name follows
_SHELLS = ("sh", "bash", "ash", "dash")
_ON_THE_PATH = PurePosixPath("/usr/local/bin")  # where images put a program that is named without a folder


class Started(NamedTuple):
    """The arguments after the server's program in the container's command, and notes on what testbay leaves out.

    `written` are the files that its shell line writes before.
    """

    words: tuple[str, ...]
    notes: tuple[str, ...] = ()
    written: tuple[Granted, ...] = ()


def host_path(service: ComposeService, inside: str) -> Path | None:
    """Map a path in the container to this machine; None if the image or a volume holds it."""
    for granted in (*service.secrets, *service.configs):
        if granted.target == inside:
            return granted.file
    path = PurePosixPath(inside)
    best: tuple[int, Path | None] = (-1, None)
    for volume in (*service.built.copied, *service.volumes):
        if path.is_relative_to(volume.target) and len(volume.target) >= best[0]:
            rest = path.relative_to(volume.target)
            best = (len(volume.target), Path(volume.source) / rest if volume.type == "bind" else None)
    return best[1]


def text(service: ComposeService, inside: str) -> str | None:
    """Read a file of the container; None if the compose file does not put it there.

    Raises:
        ManifestError: It is there, and cannot be read.
    """
    for granted in (*service.secrets, *service.configs):
        if granted.target == inside and granted.missing:
            raise ManifestError(
                f"service {service.key!r}: {inside} has no value here",
                why=f"{granted.name} {granted.missing}",
                todo="set the variable, or give the tests a file for it, such as file: ./test-secret.txt",
            )
        if granted.target == inside and granted.content is not None:
            return granted.content
    file = host_path(service, inside)
    if file is None:
        return None
    if file.exists() and not file.is_file():
        raise _unread(service, inside, file, "not a file")  # reading a pipe would block, a device has no end
    try:
        with file.open("rb") as content:
            return content.read(_LIMIT_BYTES).decode(errors="replace")
    except OSError as error:
        raise _unread(service, inside, file, str(error.strerror)) from None


def _unread(service: ComposeService, inside: str, file: Path, why: str) -> ManifestError:
    return ManifestError(
        f"service {service.key!r}: {inside} cannot be read",
        why=f"the compose file mounts {file}: {why}",
        todo="create the file, or correct the mount",
    )


def port(text: str) -> int:
    """Parse a TCP port; 0 for any other text."""
    return int(text) if text.isdecimal() and int(text) < 65536 else 0


def is_loopback(hosts: Iterable[str]) -> bool:
    """Return whether a server at these addresses is reached from its own container alone; also without an address."""
    return all(host.strip().lstrip("-") in ("", "localhost", "127.0.0.1", "::1") for host in hosts)


def published_port(service: ComposeService, started: Started) -> int:
    """The one port that the compose file publishes or exposes, if what starts the server cannot be read; else 0."""
    named = {one.container for one in service.ports if one.protocol == "tcp"}
    named = named or {port(entry.removesuffix("/tcp")) for entry in service.expose}
    return named.pop() if started.notes and len(named) == 1 else 0


def default_file(service: ComposeService, *names: str) -> str:
    """Return the first of the image's default configuration files that is mounted; else empty.

    A command or an entrypoint in the compose file replaces the image's own command, which names that file.
    """
    if service.command or service.entrypoint:
        return ""
    return next((name for name in names if holds(service, name)), "")


def holds(service: ComposeService, inside: str) -> bool:
    """Return whether the compose file determines what is at a path in the container."""
    granted = any(one.target == inside for one in (*service.secrets, *service.configs))
    return granted or host_path(service, inside) is not None


def entries(service: ComposeService, folder: str) -> dict[str, Path | str]:
    """The files that the compose file puts directly into a folder of the container, by name; a `str` is a content."""
    found: dict[str, Path | str] = {}
    for volume in (*service.built.copied, *service.volumes):
        found |= _mounted(volume, PurePosixPath(folder)) if volume.type == "bind" else {}
    for granted in (*service.secrets, *service.configs):
        target = PurePosixPath(granted.target)
        if str(target.parent) == folder:
            found[target.name] = granted.file if granted.file is not None else granted.content or ""
    return {name: found[name] for name in sorted(found)}


def _mounted(volume: Volume, folder: PurePosixPath) -> dict[str, Path]:
    """The files that a mount of a folder, or of one file, puts directly into a folder of the container."""
    source, target = Path(volume.source), PurePosixPath(volume.target)
    if folder.is_relative_to(target) and (within := source / folder.relative_to(target)).is_dir():
        return {file.name: file for file in within.iterdir() if file.is_file()}
    return {target.name: source} if target.parent == folder and source.is_file() else {}


def variable(service: ComposeService, *names: str) -> str:
    """The first of these variables that is set, or the content of the file that NAME_FILE names; else empty.

    Raises:
        ManifestError: Both are given, or the file is not there: the image refuses that too.
    """
    for name in names:
        direct, file = service.environment.get(name, ""), service.environment.get(f"{name}_FILE", "")
        if direct and file:
            raise ManifestError(
                f"service {service.key!r}: {name} and {name}_FILE are both set",
                why="the image's entrypoint refuses to choose between them",
                todo="remove one of them from its environment",
            )
        if direct:
            return direct
        if file:
            return _from_file(service, f"{name}_FILE", file)
    return ""


def _from_file(service: ComposeService, name: str, file: str) -> str:
    said = text(service, file)
    if said is None:
        raise ManifestError(
            f"service {service.key!r}: {name} names {file}, which the compose file does not mount",
            why="the value is in a secret, a config or a mounted file of that name",
            todo="grant the service the secret (secrets: […]), or mount the file",
        )
    return said.rstrip("\n")


def started(service: ComposeService, programs: Sequence[str]) -> Started:
    """Find the arguments with which the container starts one of these programs, also behind `sh -c`.

    Without a program's name, the image's entrypoint puts it before the flags, or before a redis.conf. A simple script
    of the project's own is followed as a line behind `sh -c` is.
    """
    given = [*(service.entrypoint or ()), *service.command]
    if followed := _of_script(service, given, programs):
        return followed
    words = _unwrapped(given)
    own = next((word for word in given[: len(given) - len(words)] if host_path(service, word)), "")
    if service.entrypoint and _hands_on(service, words, programs):
        own, words = shlex.join(service.entrypoint), list(service.command)
    found = _found(service, words, programs)
    note = f"service {service.key!r}: testbay does not read {own}, which starts its server"
    return found._replace(notes=(note, *found.notes)) if own else found


def _of_script(service: ComposeService, given: list[str], programs: Sequence[str]) -> Started | None:
    """Follow a script of the project's own, alone or behind its shell; None if it is more than simple commands."""
    place = 1 if given and PurePosixPath(given[0]).name in _SHELLS else 0
    named = str(_ON_THE_PATH / given[place]) if given[place:] else ""
    file = host_path(service, named) if named else None
    said = text(service, named) if file and file.is_file() else None
    if said is None or not re.match(r"#!.*\b(ba|da|a)?sh\b", said):
        return None
    try:
        return _of_line(service, said, given[place + 1 :], programs)
    except shell.NotUnderstoodError:
        return None


def _hands_on(service: ComposeService, words: list[str], programs: Sequence[str]) -> bool:
    """Return whether the entrypoint is a script of the project's own that is given the server's command."""
    named, script = (PurePosixPath(given[0]).name if given else "" for given in (service.command, words))
    return named in programs and script not in programs and "-c" not in (service.entrypoint or ())


def _found(service: ComposeService, words: list[str], programs: Sequence[str]) -> Started:
    if words and (words[0].startswith("-") or words[0].endswith(".conf")):
        return Started(tuple(words))
    if words and PurePosixPath(words[0]).name in programs:
        return Started(tuple(words[1:]))
    if words and PurePosixPath(words[0]).name in _SHELLS:
        return _behind_shell(service, words, programs)
    if not words:
        return Started(())
    return Started((), (_not_understood(service, "it starts another program", words),))


def _unwrapped(words: list[str]) -> list[str]:
    """Remove leading programs that only run another one, such as `gosu`."""
    while words:
        name = PurePosixPath(words[0]).name
        if name in _WRAPPERS:
            words = words[1:]
        elif name in _AS_USER:
            words = words[2:]
        else:
            break
    return words


def _behind_shell(service: ComposeService, words: list[str], programs: Sequence[str]) -> Started:
    flags = 1
    while flags < len(words) and words[flags].startswith("-") and "c" not in words[flags]:
        flags += 1
    if flags + 1 >= len(words):
        return Started((), (_not_understood(service, "it starts a shell script", words),))
    try:  # between the line and what it is handed is $0
        found = _of_line(service, words[flags + 1], words[flags + 3 :], programs)
    except shell.NotUnderstoodError as error:
        return Started((), (_not_understood(service, str(error), words),))
    why = f"it does not start {' or '.join(programs)} by name"
    return found or Started((), (_not_understood(service, why, words),))


def _of_line(service: ComposeService, line: str, handed: Sequence[str], programs: Sequence[str]) -> Started | None:
    """Find the server among the commands of a shell; None if they do not start it.

    Raises:
        NotUnderstoodError: They are more than simple commands.
    """
    read: Callable[[str], str | None] = lambda inside: text(service, inside)  # noqa: E731 - bound to the service
    files: dict[str, str] = {}
    found = _server_among(service, shell.commands(line, service.environment, read, handed, files), programs)
    written = tuple(Granted(name=at, target=at, content=said) for at, said in files.items())
    return found._replace(written=written) if found else None


def _server_among(service: ComposeService, commands: list[list[str]], programs: Sequence[str]) -> Started | None:
    for place, command in enumerate(commands):
        given = command[1:] if command[:1] == ["exec"] else command
        words = _unwrapped(given)
        if words and words[0].startswith("-") and PurePosixPath(given[0]).name == "docker-entrypoint.sh":
            words = [programs[0], *words]  # as the image's entrypoint does
        if words and PurePosixPath(words[0]).name in programs:
            others = [*commands[:place], *commands[place + 1 :]]
            left_out = [shlex.join(other)[:60] for other in others if other[0] not in shell.HARMLESS]
            notes = [f"service {service.key!r}: embedded does not run `{other}` of its command" for other in left_out]
            return Started(tuple(words[1:]), tuple(notes))
    return None


def _not_understood(service: ComposeService, why: str, words: Sequence[str]) -> str:
    line = one_line(shlex.join(words), 81)
    return f"service {service.key!r}: testbay cannot follow its command ({why}), and embedded ignores it: {line}"
