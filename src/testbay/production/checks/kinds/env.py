"""The check of variables: they are set, have the right shape, and hold no forbidden words."""

import io
import os
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbay.manifest import shapes
from testbay.manifest.checks import EnvCheck
from testbay.production.checks.context import CheckContext, FoundError, Passed
from testbay.text import plural

_MAX_BYTES = 1 << 20


def ask(context: CheckContext, check: EnvCheck) -> Passed:
    """Check the variables. Their names are shown, their values never.

    Raises:
        FoundError: One is absent, empty, of another shape or holds what is forbidden; two files have other keys than
            each other, or one cannot be read.
    """
    until = time.monotonic() + check.timeout
    variables = _read(context.root, check.source, until) if check.source else dict(context.environ)
    where = check.source or "the environment"
    named = {name: variables[name] for name in (*check.required, *check.shape) if name in variables}
    faults = [f"{name} is not in {where}" for name in check.required if name not in variables]
    faults += [f"{name} is empty in {where}" for name, value in named.items() if _is_empty(value)]
    faults += _shapeless(check.shape, named)
    faults += _forbidden(check.forbid, variables if check.source else named)
    faults += _other_keys(context.root, check, variables, until)
    if faults:
        more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
        raise FoundError("fail", faults[0] + more, faults[1:])
    parts = [f"{plural(len(named), 'variable')} in {where}"]
    if check.same_keys_as:
        parts.append(f"same keys as {check.same_keys_as}")
    if absent := [name for name in check.shape if name not in variables]:
        parts.append(f"missing, so not compared: {', '.join(absent)}")
    return Passed(said="; ".join(parts))


def _is_empty(value: str) -> bool:
    """Return whether a value is empty: white space, or that in quotes, which not every reader removes."""
    return not value.strip().strip("'\"").strip()


def _shapeless(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """List the values of another shape; one that is absent or empty counts as right here."""
    filled = {name: value for name, value in found.items() if name in expected and not _is_empty(value)}
    faults = {name: shapes.fault(shape, filled[name]) for name, shape in expected.items() if name in filled}
    return [f"{name} is not a valid {expected[name]}: {why}" for name, why in faults.items() if why]


def _forbidden(words: Sequence[str], found: Mapping[str, str]) -> list[str]:
    return [
        f"{name} holds {word!r}, which is forbidden"
        for name, value in found.items()
        for word in words
        if word.lower() in value.lower()
    ]


def _other_keys(root: Path, check: EnvCheck, found: Mapping[str, str], until: float) -> list[str]:
    """List the keys that only one of the two files has; an absent required one is reported elsewhere."""
    if not check.same_keys_as:
        return []
    example = _read(root, check.same_keys_as, until)
    lacking, extra = example.keys() - found.keys() - set(check.required), found.keys() - example.keys()
    return [
        *(f"{name} is in {check.same_keys_as} and not in {check.source}" for name in sorted(lacking)),
        *(f"{name} is in {check.source} and not in {check.same_keys_as}" for name in sorted(extra)),
    ]


def _read(root: Path, source: str, until: float) -> dict[str, str]:
    """Read a .env file; `${…}` stays as it is."""
    from dotenv.parser import parse_stream

    try:
        raw = _content(root / source, until)
        text = raw.decode()
    except TimeoutError:
        raise FoundError("error", f"{source}: is a pipe, and what writes into it did not do so in time") from None
    except OSError as error:
        raise FoundError("error", f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FoundError("fail", f"{source}: is not UTF-8") from None
    if len(raw) > _MAX_BYTES:
        raise FoundError("fail", f"{source}: is larger than {_MAX_BYTES >> 20} MiB")
    lines = list(parse_stream(io.StringIO(text)))
    if broken := [line.original.line for line in lines if line.error]:
        raise FoundError("fail", f"{source}: line {broken[0]} is not a variable", [f"line {n}" for n in broken[1:]])
    return {line.key: line.value or "" for line in lines if line.key is not None}


def _content(file: Path, until: float) -> bytes:
    """Read the beginning of a file. Managers of secrets offer pipes: one into which nothing writes is left in time.

    Raises:
        TimeoutError: Not all of it came until that moment.
    """
    raw, ready = b"", select.poll()
    with open(file, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
        ready.register(opened, select.POLLIN)
        while len(raw) <= _MAX_BYTES:
            if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError
            if not (part := opened.read(_MAX_BYTES + 1 - len(raw))):
                break
            raw += part
    return raw
