"""What a test has replaced is put back while testbay itself works, and only then."""

import builtins
import io
import os
import pathlib
import shutil
import socket
import threading
import time

import pytest

from testbay.harness import world

NAMES = [
    *((builtins, "open"), (io, "open"), (os, "open"), (os.path, "exists"), (time, "monotonic"), (socket, "socket")),
    *((pathlib.Path, "open"), (pathlib.Path, "read_text"), (pathlib.Path, "mkdir"), (pathlib.Path, "is_file")),
]


@pytest.mark.parametrize(("place", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_what_a_test_fakes_is_real_for_a_while(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
    """Functions of modules, and the methods of `Path`."""
    genuine = getattr(place, name)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, lambda *_, **__: 1 / 0)
        with world.real():
            inside = getattr(place, name)
        fake = getattr(place, name)

    assert (inside is genuine, fake is genuine) == (True, False)


def test_another_thread_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would put the fake back after the test has ended it."""
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        with world.real():
            begun.set()
            ended.wait(60)

    thread = threading.Thread(target=work)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", None)
        thread.start()
        assert begun.wait(60)
        is_faked = bool(world.faked())
    ended.set()
    thread.join()

    assert (is_faked, world.faked()) == (True, [])


def test_tests_may_run_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may call `pytest.main` in a second thread."""
    inside = []

    def work() -> None:
        world.tests_run_here()
        with world.real():
            inside.append(world.faked())

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", None)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    world.tests_run_here()

    assert inside == [[]]


def test_hosts_that_a_test_may_not_reach_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-socket's `--allow-hosts` guards `connect` of the class itself."""
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", None, raising=False)
        with world.real():
            inside = vars(socket.socket).get("connect")
        guarded = "connect" in vars(socket.socket)

    assert (inside, guarded) == (None, True)


def test_nothing_is_taken_for_a_fake_in_an_ordinary_pytest() -> None:
    """Its own hook for threads is not a fake: else each report of each test would put all modules back and forth."""
    assert world.faked() == []
