"""A dependency's server as callers know it: program, address, identity."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from testbay.errors import EngineUnavailableError


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address and identity of one running dependency.

    `shared` describes what all leases share because the compose file wants it so; empty if nothing. `identity` is a
    name that our own server reports, so that another server on its port is not mistaken for it; `version` is what the
    server reported; `note` is what a user must know (a stand-in, another major version).
    """

    name: str
    title: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    db: str = ""
    shared: str = ""
    identity: str = ""
    version: str = ""
    note: str = ""


class RefusedError(OSError):
    """The server answered, and waiting will not help: a wrong password, another protocol."""


class Answer(NamedTuple):
    """The answer of a ready server: its version, and the notes for the user.

    `connections` counts the connections that it has accepted, this one included; None if it does not say.
    """

    version: str
    note: str = ""
    connections: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A compose service as its image reads it, before anything starts.

    `port` is the one inside the container; `argv` are the settings as words; `set_up` names scripts that run once;
    `named` are mounts that those scripts read; `data` are the folders in which the image keeps its data; `shared`
    describes what tests share on a shared server; `notes` describe what testbay cannot read. `unreachable` says which
    setting keeps clients from outside of the container out.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    db: str = ""
    port: int = 0
    argv: tuple[str, ...] = ()
    set_up: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    shared: str = ""
    notes: tuple[str, ...] = ()
    unreachable: str = ""


def check_identity(endpoint: Endpoint, identity: str) -> None:
    """Raise if a server other than ours answered.

    Raises:
        OSError: It tells another name: another server got the port first.
    """
    if endpoint.identity and identity != endpoint.identity:
        raise OSError(f"another server answers on port {endpoint.port}: it says it is {identity!r}")


def not_needed(name: str, needs: Iterable[str]) -> EngineUnavailableError:
    """The error for a dependency that is not in the manifest's `needs`."""
    return EngineUnavailableError(
        f"no {name} on this stack",
        why=f"the manifest's needs are: {', '.join(needs)}",
        todo=f"add {name!r} to needs",
    )


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server program on this machine: executable, version, source, and a note for the user.

    `hash_rounds` is how often the server hashes a password: more rounds only slow each connection down.
    """

    program: Path
    version: str
    source: str
    note: str = ""
    hash_rounds: int = 1

    @property
    def bin_dir(self) -> Path:
        """The folder that also holds the server's tools (initdb, psql …)."""
        return self.program.parent

    @property
    def reads(self) -> list[str]:
        """The folders with the program's own files: beside it, its prefix, and the libraries of its wheel."""
        program = self.program.resolve()
        prefix = program.parent.parent
        folders = [self.program.parent, program.parent, *(prefix / name for name in ("lib", "lib64", "share"))]
        libraries = [folder.with_name(f"{folder.name}.libs") for folder in program.parents if folder.name]
        brewed = [folder.parent for folder in program.parents if folder.name == "Cellar"]
        return [str(folder) for folder in dict.fromkeys((*folders, *libraries, *brewed)) if folder.is_dir()]
