"""A small redis-cli, for machines without one: the usual options, one command or a prompt, raw answers."""

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from redis import Redis, RedisError, ResponseError

from testbay import settings
from testbay.harness.dependencies.dragonfly.state import OLD_ANSWERS
from testbay.output import Voice


def main(argv: Sequence[str]) -> int:
    """Send one command, or those typed at the prompt; return 1 after an error, as redis-cli does."""
    asked = _options().parse_args(argv)
    voice, code = Voice(), 0
    try:
        server = _server(asked)
        for words in [asked.words] if asked.words else _typed():
            try:
                answer = server.execute_command(*words)  # type: ignore[no-untyped-call]  # redis does not type it
                for line in _lines(answer):
                    voice.say(line)
            except ResponseError as error:
                voice.say(str(error))
                code = 1
    except (RedisError, ValueError) as error:
        voice.say(f"ERR {error}")
        code = 1
    return code


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="redis-cli", description=__doc__, add_help=False)
    parser.add_argument("--help", action="help")
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("-n", dest="db", type=int, default=0)
    parser.add_argument("-a", dest="password")
    parser.add_argument("-u", dest="url")
    parser.add_argument("--raw", "--no-auth-warning", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _server(asked: argparse.Namespace) -> Redis:
    """The server named by URL or host. The password may be in REDISCLI_AUTH, where `ps` does not show it."""
    password = asked.password or settings.environ().get("REDISCLI_AUTH")
    options: dict[str, Any] = {"single_connection_client": True, **OLD_ANSWERS}
    if asked.url:
        server = Redis.from_url(asked.url, **options)
    else:
        server = Redis(host=asked.host, port=asked.port, db=asked.db, password=password, **options)
    server.response_callbacks.clear()  # they would convert answers to objects; show the raw ones
    return server


def _typed() -> Iterator[list[str]]:
    """Yield each line of the prompt, or of standard input, as words."""
    while True:
        try:
            words = shlex.split(input("redis> " if sys.stdin.isatty() else ""))
        except EOFError:
            return
        if words in (["exit"], ["quit"]):
            return
        if words:
            yield words


def _lines(answer: object) -> Iterator[str]:
    """Yield the lines of an answer as redis-cli prints them to a file."""
    if isinstance(answer, bytes):
        yield from answer.decode(errors="backslashreplace").split("\r\n")
    elif isinstance(answer, dict):
        yield from _lines([part for pair in answer.items() for part in pair])
    elif isinstance(answer, Iterable) and not isinstance(answer, str):
        for part in answer:
            yield from _lines(part)
    else:
        yield "" if answer is None else str(answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
