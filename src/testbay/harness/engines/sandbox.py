"""The sandbox ("cage") of an embedded server: what it may read, write and execute, enforced by Landlock.

A database runs programs and writes files for everyone who connects (`COPY … TO PROGRAM`, `CONFIG SET dir`). In its cage
it reads programs, libraries and its own folder, writes only its own folder, and executes nothing but itself. A cage
needs no privilege, is inherited by children, and cannot be left. Light on imports: the guard starts through here.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import IO

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# linux/landlock.h; the numbers of the system calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))  # remove and make files, folders, sockets, links …
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_SCOPES = 1 << 0 | 1 << 1  # no abstract socket and no signal to a process outside of the cage
_CONNECT_TCP = 1 << 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_PT_INTERP = 3  # elf.h
_ENTRY = (("=I", 0), ("=Q", 8), ("=Q", 32))  # kind, offset and length of a program header

_LEAST_ABI = 2  # the first one did not allow a file to move between two folders of one's own, as servers do
_TRUNCATE_ABI, _NET_ABI, _IOCTL_ABI, _SCOPE_ABI = 3, 4, 5, 6

# What every program needs to start, speak its language and know the time; nothing of it is anybody's secret.
_PUBLIC = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store"),
    *("/proc", "/sys", "/dev/urandom", "/dev/random", "/dev/zero", "/dev/null"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols"),
    *("/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
)
_SINK = "/dev/null"
NESTED = 16  # sandboxes within each other; the kernel refuses a further one
SHELL = "/bin/sh"  # initdb starts its server through it


@cache
def abi() -> int:
    """Landlock's version in this kernel; 0 if it is absent, or too old for a server."""
    if _libc is None:
        return 0
    version = int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))
    return version if version >= _LEAST_ABI else 0


def knows_ports() -> bool:
    """Return whether this kernel's Landlock can restrict which TCP ports are connected to (Linux 6.7)."""
    return abi() >= _NET_ABI


def cage(programs: Iterable[str], reads: Iterable[str], writes: Iterable[str], port: int | None = None) -> int | None:
    """Make a Landlock ruleset for `enter`, as an open file that the caller closes; None without Landlock.

    Args:
        programs: All that may be executed; the loader each of them names comes with it.
        reads: Files and folders that may be read beside what every program needs.
        writes: Folders with everything in them that may be read and changed.
        port: The one TCP port that may be connected to, where the kernel can say so; None for all.

    Raises:
        OSError: The kernel refused.
    """
    if not abi():
        return None
    ruleset = _create(connects=port is None)
    try:
        if port is not None and knows_ports():
            _called(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=2Q", _CONNECT_TCP, port), 0)
        for path in (*_PUBLIC, *reads):
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        _allow(ruleset, _SINK, _READ_FILE | _WRITE_FILE | _TRUNCATE)
        for path in writes:
            _allow(ruleset, path, _handled() & ~_EXECUTE)
        for program in programs:
            for path in (program, _loader(program)):
                _allow(ruleset, path, _READ_FILE | _EXECUTE)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def enter(ruleset: int) -> None:
    """Confine this process and its children for good, with two system calls; for a child before it runs its program.

    Raises:
        OSError: The kernel refused.
    """
    assert _libc is not None
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.syscall(_RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock refused to confine a server")


def _handled() -> int:
    """The rights on files that this kernel's Landlock can restrict."""
    version = abi()
    rights = _OF_FILES & ~_TRUNCATE & ~_IOCTL_DEV | _READ_DIR | _CHANGE_FOLDERS | _REFER
    rights |= _TRUNCATE if version >= _TRUNCATE_ABI else 0
    return rights | (_IOCTL_DEV if version >= _IOCTL_ABI else 0)


def _create(*, connects: bool) -> int:
    version = abi()
    fields = [_handled()]
    fields += [0 if connects else _CONNECT_TCP] if version >= _NET_ABI else []
    fields += [_SCOPES] if version >= _SCOPE_ABI else []
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return _called(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow rights beneath a path; a missing path needs no rule."""
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC) if path else -1
    except OSError:
        return
    if beneath < 0:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - a Path costs more than the system call
            rights &= _OF_FILES
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights & _handled(), beneath), 0)
    finally:
        os.close(beneath)


def _called(number: int, *arguments: object) -> int:
    assert _libc is not None
    answer = int(_libc.syscall(number, *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return answer


def is_program(path: str) -> bool:
    """Return whether a file is machine code; a script, such as a version manager's shim, starts unknown programs."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _loader(program: str) -> str:
    """The loader named in a dynamic program's header, which the kernel executes first; empty for a static one."""
    try:
        with Path(program).open("rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02":
                return ""
            (table,), (size, count) = struct.unpack_from("=Q", head, 32), struct.unpack_from("=HH", head, 54)
            file.seek(table)
            return _named_in(file, file.read(size * count), size)
    except (OSError, struct.error):
        return ""


def _named_in(file: IO[bytes], entries: bytes, size: int) -> str:
    for at in range(0, len(entries), size):
        kind, offset, length = (struct.unpack_from(form, entries, at + by)[0] for form, by in _ENTRY)
        if kind == _PT_INTERP:
            file.seek(offset)
            return file.read(min(length, 4096)).rstrip(b"\0").decode(errors="replace")
    return ""
