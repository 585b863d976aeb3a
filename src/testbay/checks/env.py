"""A check of variables: those that are required are there and hold something, and nothing holds a placeholder."""

import io
from pathlib import Path

from testbay.checks.asking import Asking, FoundError, Passed, counted
from testbay.checks.tables import EnvCheck

_MAX_BYTES = 1 << 20


def ask(asking: Asking, check: EnvCheck) -> Passed:
    """Look at them. Names are shown, values never.

    Raises:
        FoundError: One is absent, empty, or holds what is forbidden; or the file cannot be read.
    """
    found = _read(asking.root, check.source) if check.source else dict(asking.environ)
    where = check.source or "the environment"
    wrong = [f"{name} is not in {where}" for name in check.required if name not in found]
    wrong += [f"{name} is empty in {where}" for name in check.required if name in found and not found[name].strip()]
    looked_at = found if check.source else {name: found[name] for name in check.required if name in found}
    wrong += [
        f"{name} holds {word!r}, which is forbidden"
        for name, value in looked_at.items()
        for word in check.forbid
        if word.lower() in value.lower()
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
        raise FoundError("fail", wrong[0] + more, wrong[1:])
    return Passed(said=f"{counted(len(check.required), 'variable')} in {where}")


def _read(root: Path, source: str) -> dict[str, str]:
    """A .env file as services read it; `${…}` is left as it stands."""
    from dotenv.parser import parse_stream

    try:
        with (root / source).open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise FoundError("error", f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FoundError("fail", f"{source}: is not UTF-8") from None
    if len(raw) > _MAX_BYTES:
        raise FoundError("fail", f"{source}: is larger than {_MAX_BYTES >> 20} MiB")
    lines = list(parse_stream(io.StringIO(text)))
    if broken := [line.original.line for line in lines if line.error]:
        raise FoundError("fail", f"{source}: line {broken[0]} is no variable", [f"line {n}" for n in broken[1:]])
    return {line.key: line.value or "" for line in lines if line.key is not None}
