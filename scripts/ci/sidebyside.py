"""The tests of services side by side: what each says is shown as one piece, in the order of their names."""

import contextlib
import os
import select
import signal
import time
from io import FileIO

from plan import Refused, say, show, tell

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_EVERY_S = 0.05  # for what a service says whose words wait in a file
PART_BYTES = 65536
NOT_STARTED, INTERRUPTED = (126, 127), (128 + signal.SIGINT, 128 + signal.SIGTERM)
Records = dict[str, tuple[int, int]]


class Job:
    """A service's tier 3 script, in a process group of its own, with the signals as a terminal hands them down.

    Args:
        service: Its name.
        words: The file that keeps what it says; where there is none, it speaks itself.
    """

    def __init__(self, service: str, words: FileIO | None) -> None:
        self.service, self.words, self.shown_bytes, self.not_shown = service, words, 0, ""
        self.code, self.over, self.proven = 0, False, False
        self.began_s = self.ended_s = time.monotonic()
        self.before = records(service)
        script = f"services/{service}/scripts/ci/run-tests.sh"
        streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        if words:
            streams += [(os.POSIX_SPAWN_DUP2, words.fileno(), stream) for stream in (1, 2)]  # type: ignore[misc]
        usual = (*SIGNALS, signal.SIGQUIT, signal.SIGPIPE)  # bash makes background jobs deaf to Ctrl-C
        how = {"setpgroup": 0, "setsigmask": (), "setsigdef": usual, "file_actions": streams}
        try:
            self.process = os.posix_spawn(script, [script], os.environ, **how)  # type: ignore[arg-type]
            self.pidfd = os.pidfd_open(self.process)
        except OSError as error:
            (self.keep if words else tell)(f"run-integration-tests: {script}: {error.strerror}")
            self.code, self.over = NOT_STARTED[-1], True

    def send(self, number: int) -> None:
        """Ctrl-C is for all in the job, as at the terminal; TERM is for its head, which ends the others in order."""
        with contextlib.suppress(PermissionError):  # those of another user are the business of the others
            if self.over:
                return
            (os.killpg if number == signal.SIGINT else os.kill)(self.process, number)

    def finish(self) -> None:
        """Take its exit code. Its record is looked for at once: later runs may take that one's place."""
        self.over = True  # from here on its number may be another's
        self.ended_s = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        self.code = code if code >= 0 else 128 - code
        os.close(self.pidfd)
        new = set(records(self.service).items()) - set(self.before.items())
        self.proven = any(has_passed(record, self.service) for record, _ in new)

    def keep(self, text: str) -> None:
        """Have a line wait with its words."""
        assert self.words
        self.words.write(os.fsencode(f"{text}\n"))

    def show(self) -> None:
        """Show what it has said since."""
        try:
            while not self.not_shown and self.words and (part := self._said()):
                show(part)
                self.shown_bytes += len(part)
        except OSError as error:
            self.not_shown = str(error.strerror)

    def _said(self) -> bytes:
        assert self.words
        return os.pread(self.words.fileno(), PART_BYTES, self.shown_bytes)  # where it writes is left alone

    def result(self) -> tuple[str, int, bool]:
        """What it came to, the exit code of that, and whether its tests ran."""
        if self.code == 0:
            return ("passed", 0, True) if self.proven else ("ran no tests", 15, False)
        if self.code in NOT_STARTED:
            return "could not be started", 15, False
        return "interrupted" if self.code in INTERRUPTED else f"failed (exit {self.code})", self.code, True


def records(service: str) -> Records:
    """The records of its runs, kept in the checkout or in its own folder, with what changes when one is written."""
    found = {}
    for folder in (".testbay/runs", f"services/{service}/.testbay/runs"):
        with contextlib.suppress(OSError):
            for record in (f"{folder}/{name}/run.json" for name in os.listdir(folder) if f"-{service}-" in name):
                with contextlib.suppress(OSError):  # just removed by a later run
                    facts = os.stat(record)
                    found[record] = (facts.st_ino, facts.st_mtime_ns)
    return found


def has_passed(record: str, service: str) -> bool:
    """Return whether it is of a run of that service's tests that passed."""
    import json

    try:
        with open(record, "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):  # just removed by a later run, or damaged
        return False
    return isinstance(found, dict) and found.get("service") == service and found.get("exit_code") == 0


class Turns:
    """The services in the order in which each has its turn to speak; so many of them run at once."""

    def __init__(self, services: list[str], at_once: int) -> None:
        self.services, self.at_once = services, at_once
        self.jobs: list[Job] = []  # those that were started
        self.stopped = 0  # the exit code of an interrupted run

    def take(self) -> int:
        """Take all of them, then say what each came to; return the exit code."""
        for handled in SIGNALS:
            if signal.getsignal(handled) != signal.SIG_IGN:
                signal.signal(handled, lambda sent, _: self.stop(sent, 128 + sent))
        table, codes, ran = [], [], 0
        for number, service in enumerate(self.services):
            if self.stopped and number >= len(self.jobs):
                break
            self.say(f"==> {service}: services/{service}/scripts/ci/run-tests.sh")
            self.start_more(number)
            if number < len(self.jobs):  # else a signal was faster
                self.let_speak(number)
        for job in self.jobs:
            result, code, has_run = job.result()
            codes.append(code)
            ran += has_run
            table.append(f"  {job.service:<24} {result:<20} {job.ended_s - job.began_s:4.0f} s")
        passed = codes.count(0)
        self.say(f"\nServices: {len(self.services)} planned, {ran} ran, {passed} passed\n" + "\n".join(table))
        return self.stopped or next(filter(None, codes), 0 if ran == len(self.services) else 15)

    def say(self, text: str) -> None:
        """Say a line. Those that run are not left alone where that fails."""
        try:
            say(text)
        except Refused as refused:
            if not self.jobs:
                raise
            tell(str(refused))

    def start_more(self, turn: int) -> None:
        """Start as many as may run; the one whose turn it is speaks at once, words of others wait in a file."""
        while len(self.jobs) < len(self.services) and not self.stopped:
            number, words = len(self.jobs), None
            if sum(not job.over for job in self.jobs) >= self.at_once:
                return
            if number != turn:
                from tempfile import TemporaryFile

                try:
                    words = TemporaryFile(buffering=0)  # noqa: SIM115 - it is as long as the job is
                except OSError as error:
                    tell(f"note: services run one after another, as their words cannot be kept: {error.strerror}")
                    self.at_once = 1
                    return
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # one that comes now is for the new one, too
            self.jobs.append(Job(self.services[number], words))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def let_speak(self, number: int) -> None:
        """Show what a service says until it has ended."""
        job, over = self.jobs[number], False
        while not over:
            over = job.over
            job.show()
            if not over:
                self.wait(LOOK_EVERY_S if job.words else None)
                self.start_more(number)
        if job.not_shown:
            tell(f"note: not all that {job.service} said is shown: showing it failed ({job.not_shown})")
        if job.result()[0] == "ran no tests":
            deny(job.service)

    def wait(self, timeout_s: float | None) -> None:
        """Wait for the end of one."""
        import json  # noqa: F401 - what reads its record takes longer to import than all that was done before

        running = {job.pidfd: job for job in self.jobs if not job.over}
        for ended in select.select([*running], [], [], timeout_s)[0]:
            running[ended].finish()
            if running[ended].code in INTERRUPTED and not self.stopped:
                self.stop(signal.SIGINT, running[ended].code)

    def stop(self, number: int, code: int) -> None:
        """Hand a signal on. It ends nobody's chance to clean up."""
        self.stopped = code
        if not self.jobs:
            raise SystemExit(code)
        for job in self.jobs:
            job.send(number)


def deny(service: str) -> None:
    """Tell why an exit code of 0 is not enough."""
    why = "since it began, .testbay/runs got no record of a run of it that passed"
    todo = f'have services/{service}/scripts/ci/run-tests.sh end with: exec testbay run {service} -- "$@"'
    what = f"{service} ended with exit code 0, and none of its tests are known to have run"
    tell(str(Refused(15, what, why=why, todo=todo)))


def run(services: list[str], at_once: int) -> int:
    """Run them; return the exit code."""
    return Turns(services, at_once).take()
