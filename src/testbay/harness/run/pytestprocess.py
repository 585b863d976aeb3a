"""Pytest's process: it loads pytest while the servers start, and begins once it has its arguments and environment."""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from testbay import process
from testbay.harness.launch.warm import read_at_start
from testbay.harness.stack.request import Request
from testbay.output import is_lost

_PROGRAM = Path(__file__).with_name("startpytest.py")


class PytestProcess:
    """A process in a session of its own that runs pytest once; leaving its block ends whatever is left of the session.

    `mark` is the value of TESTBAY_MARK, by which the stack's guard finds what leaves the session.
    """

    def __init__(self, request: Request, output: IO[bytes] | None) -> None:
        self.mark = secrets.token_hex(16)
        self._writes_to_ours = output is None
        self._environ = request.caller_environment | {"TESTBAY_MARK": self.mark}
        reader, self._writer = os.pipe()
        # With -P a signal.py or a folder redis/ of the project's does not stand before Python's own and the libraries.
        argv = [str(request.interpreter.program), "-P", str(_PROGRAM), str(reader)]
        try:
            self.child = process.spawn(
                argv,
                env=self._environ,
                cwd=request.manifest.root,
                output=output,
                new_session=True,
                reaped=True,
                handed=[reader],
            )
        except BaseException:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Let pytest run; once."""
        environ = {**environ, "TESTBAY_MARK": self.mark}
        early = self._environ
        anew = any(early.get(name) != environ.get(name) for name in read_at_start(early, environ))
        lost = self._writes_to_ours and is_lost()
        sent = {"arguments": [*arguments], "environ": environ, "anew": anew, "lost": lost}
        writer, self._writer = self._writer, -1  # before Ctrl-C can interrupt the writing: a number is closed once
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as pipe:  # what ended says so itself
            pipe.write(json.dumps(sent).encode())

    def end(self) -> None:
        """End the session; without effect on one that has ended."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        process.end(process.in_session(self.child.pid))
        self.child.wait()
