import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbay import process
from testbay.errors import InterruptedRunError
from testbay.fixtures import eventually
from testbay.process import Completed, ProcessId, identity

SLEEP = ["sleep", "60"]
SOURCE = str(Path(process.__file__).parents[1])


@pytest.fixture
def child() -> Iterator[process.Child]:
    """A child in a session of its own, ended afterwards."""
    started = process.spawn(SLEEP, new_session=True)
    yield started
    started.kill()
    started.wait()


def test_where_ps_tells_it_a_start_is_the_same_in_every_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac the guard, which has no TZ and no language, watches who called it."""
    asked = []

    def ps(_: list[str], env: dict[str, str]) -> Completed:
        asked.append(env)
        return Completed(0, "S    Sun Nov 29 08:00:00 2026    \n", "")

    monkeypatch.setattr(identity, "LINUX", False)
    monkeypatch.setattr(identity, "run", ps)

    assert process.identify(7) == ProcessId(7, "Sun Nov 29 08:00:00 2026")
    assert asked == [{"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}]


def test_a_process_is_itself_as_long_as_it_runs(child: process.Child) -> None:
    """Pid and start time: a later process with the same pid is another one."""
    who = process.identify(child.pid)

    assert who.alive()
    assert not ProcessId(who.pid, "another time").alive()
    assert not ProcessId(who.pid, "").alive()


def test_a_zombie_does_not_run(child: process.Child) -> None:
    """Ended but not yet waited for."""
    who = process.identify(child.pid)
    child.kill()

    assert eventually(lambda: not who.alive())
    assert process.identify(child.pid).started == ""


def test_nobody_has_no_start_time() -> None:
    """A pid beyond the largest."""
    assert process.identify(2**22 + 1) == ProcessId(2**22 + 1, "")


def test_a_name_with_brackets_hides_nothing(tmp_path: Path) -> None:
    """The kernel writes a process's name in brackets, and the name may hold some too."""
    odd = tmp_path / "a) Z (b"
    odd.symlink_to("/bin/sleep")
    started = process.spawn([odd, "60"])
    try:
        assert process.identify(started.pid).alive()
    finally:
        started.kill()
        started.wait()


def test_a_finished_command_leaves_its_words() -> None:
    """Both streams apart, undecodable bytes replaced, standard input at its end."""
    done = process.run(["sh", "-c", r"cat; printf 'out \377'; echo err >&2; exit 3"])

    assert done == Completed(3, "out \ufffd", "err\n")


def test_a_command_killed_by_a_signal_says_which() -> None:
    """A negative code is the signal's number."""
    assert process.run(["sh", "-c", "kill -9 $$"]).code == -signal.SIGKILL


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """Although a grandchild still holds its output open."""
    script = f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait"
    with pytest.raises(subprocess.TimeoutExpired):
        process.run(["sh", "-c", script], timeout_s=0.2)

    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


def test_a_command_gets_only_the_environment_it_is_given(tmp_path: Path) -> None:
    """And works in the folder it is given."""
    done = process.run(["/bin/sh", "-c", 'echo "$A,$HOME"; pwd'], env={"A": "1"}, cwd=tmp_path)

    assert done.out == f"1,\n{tmp_path}\n"


def test_both_streams_of_a_child_go_to_one_file(tmp_path: Path) -> None:
    """A server's log."""
    with (tmp_path / "log").open("wb") as log:
        process.spawn(["sh", "-c", "echo out; echo err >&2"], output=log).wait()

    assert (tmp_path / "log").read_text(encoding="utf-8") == "out\nerr\n"


def test_a_child_dies_with_us(tmp_path: Path) -> None:
    """However we die: here by SIGKILL, which nobody can handle."""
    code = (
        "import sys, time; from testbay import process\n"
        "print(process.spawn(['sleep', '60']).pid, flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SOURCE}, text=True) as parent:
        assert parent.stdout is not None
        grandchild = process.identify(int(parent.stdout.readline()))
        assert grandchild.alive()
        parent.kill()

    assert eventually(lambda: not grandchild.alive())


def test_a_child_without_a_death_signal_outlives_us(tmp_path: Path) -> None:
    """A guard has to."""
    code = (
        "from testbay import process\n"
        "print(process.spawn(['sleep', '60'], new_session=True, death_signal=None).pid, flush=True)\n"
    )
    (tmp_path / "out").touch()
    argv = [sys.executable, "-W", "ignore", "-c", code]
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(argv, stdout=out, env={**os.environ, "PYTHONPATH": SOURCE}, check=True)
    survivor = process.identify(int((tmp_path / "out").read_text(encoding="utf-8")))

    assert survivor.alive()
    assert process.end([survivor]) == []


def test_a_session_holds_all_that_was_started_in_it() -> None:
    """The leader comes last, so that it cannot start the others again."""
    leader = process.spawn(["sh", "-c", "sleep 60 & sleep 60"], new_session=True)
    try:
        assert eventually(lambda: len(process.in_session(leader.pid)) == 3)
        members = process.in_session(leader.pid)

        assert members[-1] == process.identify(leader.pid)
        assert process.end(members) == []
        assert process.in_session(leader.pid) == []
    finally:
        leader.wait()


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    """After a moment of patience."""
    script = f"trap '' TERM; echo > {tmp_path / 'ready'}; while :; do sleep 60; done"
    stubborn = process.spawn(["sh", "-c", script], new_session=True)
    assert eventually((tmp_path / "ready").exists)
    members = process.in_session(stubborn.pid)

    assert process.end(members, patience_s=0.1) == []
    assert stubborn.wait() == -signal.SIGKILL


def test_ending_what_is_gone_harms_nobody(child: process.Child) -> None:
    """A reused pid is not ours."""
    assert process.end([ProcessId(child.pid, "another time"), ProcessId(2**22 + 1, "1")]) == []
    assert child.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_unwinds_as_one_error(number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal run every teardown."""
    with pytest.raises(InterruptedRunError) as interrupted, process.signals_as_errors():
        signal.raise_signal(number)

    assert str(interrupted.value) == (
        f"interrupted by {number.name}\n  do:       what this call had started has ended; run it again"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_teardown_is_not_interrupted(number: signal.Signals) -> None:
    """A second Ctrl-C would leave what the first meant to end; afterwards all is as before."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with process.signals_ignored():
        signal.raise_signal(number)

    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_ctrl_c_while_modules_are_imported_says_nothing() -> None:
    """A traceback through a library is no answer to the first Ctrl-C; what a shell starts with `&` ignores it."""
    code = (
        "import signal; from testbay import process as p\nwith p.ctrl_c_without_a_traceback():\n signal.raise_signal(2)"
    )
    environ, behind = {**os.environ, "PYTHONPATH": SOURCE}, ["sh", "-c", 'trap "" INT; exec "$0" -c "$1"']

    assert process.run([sys.executable, "-c", code], env=environ) == Completed(-signal.SIGINT, "", "")
    assert process.run([*behind, sys.executable, code], env=environ) == Completed(0, "", "")


def test_nohup_is_respected() -> None:
    """Who starts a run, or a watcher, with nohup wants it to outlive the terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.signals_as_errors():
            signal.raise_signal(signal.SIGHUP)
        obeyed = process.ending_signals()
    finally:
        signal.signal(signal.SIGHUP, before)

    assert obeyed == [signal.SIGINT, signal.SIGTERM]


def test_callers_are_only_those_that_run_us(tmp_path: Path) -> None:
    """Make and the shell of a script run us; what started those, or set us apart, may end before us."""
    code = "from testbay import process; print(len(process.callers()))"
    (tmp_path / "run.sh").write_text(f'"{sys.executable}" -c "{code}"; exit\n', encoding="utf-8")
    (tmp_path / "Makefile").write_text("all:\n\t@sh run.sh; exit\n", encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": SOURCE}

    script = process.run(["sh", "run.sh"], cwd=tmp_path, env=environ)
    through_make = process.run(["make", "-s"], cwd=tmp_path, env=environ)
    limited = process.run(["sh", "-c", "timeout 60 sh run.sh; exit"], cwd=tmp_path, env=environ)
    detached = process.run(["sh", "-c", "setsid sh run.sh; exit"], cwd=tmp_path, env=environ)
    job = process.run(["bash", "-c", "set -m; sh run.sh & wait"], cwd=tmp_path, env=environ)
    group = process.run(["bash", "-c", "( sh run.sh; exit ) & wait"], cwd=tmp_path, env=environ)

    assert (script.out, through_make.out, limited.out) == ("1\n", "3\n", "3\n")
    assert (detached.out, job.out) == ("1\n", "1\n")
    assert group.out in ("2\n", "0\n")  # bash 5.3 has all of the group ignore Ctrl-C, earlier ones the subshell alone


def test_a_process_can_be_named() -> None:
    """As `ps` shows it, cut to what the kernel keeps."""
    code = "from testbay import process; process.rename('testbay-guard-of-mine'); print(open('/proc/self/comm').read())"

    done = process.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SOURCE})

    assert done.out.strip() == "testbay-guard-o"


def test_root_is_who_has_its_id() -> None:
    """PostgreSQL refuses to run as root."""
    assert process.is_root() is (os.geteuid() == 0)


@pytest.mark.parametrize("came_of_it", [None, ValueError("a library's own error")], ids=["swallowed", "wrapped"])
def test_an_interruption_in_a_callback_is_still_one(came_of_it: Exception | None) -> None:
    """Libraries wrap or swallow what is raised in their callbacks; Ctrl-C is not lost in them."""

    def library() -> None:
        with contextlib.suppress(InterruptedRunError):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        if came_of_it is not None:
            raise came_of_it

    with pytest.raises(InterruptedRunError, match="interrupted by SIGTERM"), process.signals_as_errors():
        library()


def signalled(number: signal.Signals, code: str, patience_s: float) -> int:
    """The exit code of a command in our place; we get the signal once the command has set itself up."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")

        def send() -> None:
            while not ready.exists():
                time.sleep(0.005)
            signal.pthread_kill(main, number)

        main = threading.main_thread().ident or 0
        sender = threading.Thread(target=send)
        sender.start()
        program = f"import signal, time, sys, pathlib\n{code}\npathlib.Path({str(ready)!r}).touch()\ntime.sleep(60)"
        try:
            with process.run_in_place([sys.executable, "-c", program], env={}, patience_s=patience_s) as code_of_it:
                signal.raise_signal(number)  # what is done afterwards is not interrupted
                return code_of_it
        finally:
            sender.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_in_our_place_gets_our_signals(number: signal.Signals) -> None:
    """It ends as it chooses to, and its exit code is ours."""
    code = f"signal.signal({int(number)}, lambda *_: sys.exit(9))"

    assert signalled(number, code, 60) == 9
    assert signalled(number, f"signal.signal({int(number)}, signal.SIG_DFL)", 60) == 128 + number


def test_a_command_that_does_not_listen_is_ended() -> None:
    """Patience has an end, and SIGKILL cannot be ignored."""
    assert signalled(signal.SIGTERM, "signal.signal(15, signal.SIG_IGN)", 0.1) == 128 + signal.SIGKILL


def test_a_signal_before_the_command_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our asking for it and its start there is a moment, too."""
    spawn = process.spawn

    def interrupted(*arguments: Any, **options: Any) -> process.Child:
        signal.raise_signal(signal.SIGTERM)
        return spawn(*arguments, **options)

    monkeypatch.setattr("testbay.process.signals.spawn", interrupted)

    with process.run_in_place(["sleep", "60"], env={"PATH": os.environ["PATH"]}) as code:
        assert code == 128 + signal.SIGTERM


def test_ctrl_c_at_a_terminal_is_heard_once() -> None:
    """The terminal sends it to everybody in the foreground: handing it on as well would be a second Ctrl-C."""
    # Without NOFLSH the terminal may throw away what the child answers to Ctrl-C.
    child = "import os, signal, termios as t; flags = t.tcgetattr(0); flags[3] |= t.NOFLSH; t.tcsetattr(0, 0, flags); "
    # Held back and waited for: a handler may be called too late, when the signal comes just before a read begins. Our
    # part is stopped until the first is taken: two that wait to be taken are one.
    child += "signal.pthread_sigmask(signal.SIG_BLOCK, [2]); os.kill(os.getppid(), 19); os.write(1, b'ready'); "
    child += "signal.sigwait([2]); os.write(1, b'hea' b'rd'); os.kill(os.getppid(), 18); "
    child += "signal.sigtimedwait([2], 0.5) and os.write(1, b'hea' b'rd'); input()"
    ours = (
        f"from testbay import process\nwith process.run_in_place([{sys.executable!r}, '-c', {child!r}], env={{}}): pass"
    )

    assert at_a_terminal(ours, {b"ready": b"\x03", b"heard": b"\n"}).count(b"heard") == 1


def at_a_terminal(ours: str, typed: dict[bytes, bytes]) -> bytes:
    """What a Python program says at a terminal, where something is typed once a mark was read."""
    terminal = f"import pty; pty.spawn([{sys.executable!r}, '-c', {ours!r}])"
    argv, pipe = [sys.executable, "-c", terminal], subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env={**os.environ, "PYTHONPATH": SOURCE}) as running:
        assert running.stdin
        assert running.stdout
        said = b""
        for mark, text in typed.items():
            while mark not in said:
                said += (more := os.read(running.stdout.fileno(), 1024))
                assert more, said
            running.stdin.write(text)
            running.stdin.flush()
        return said + running.stdout.read()


def test_ctrl_c_at_a_terminal_is_for_the_command_there() -> None:
    """It goes on after a Ctrl-C that it takes itself, as psql does with a query."""
    child = "import os, signal, termios as t; flags = t.tcgetattr(0); flags[3] |= t.NOFLSH; t.tcsetattr(0, 0, flags); "
    child += "signal.pthread_sigmask(signal.SIG_BLOCK, [2]); os.write(1, b'ready'); signal.sigwait([2]); exit(7)"
    ours = f"""from testbay import process
with process.signals_as_errors(), process.ctrl_c_for_the_command():
    print("it ended:", process.spawn([{sys.executable!r}, "-c", {child!r}]).wait())"""

    assert b"it ended: 7" in at_a_terminal(ours, {b"ready": b"\x03"})
