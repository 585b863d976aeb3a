"""The state of an incident between runs: one line of JSON, hidden at the top of its issue."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from testbay.errors import IncidentsError

VERSION = 1
_OPENING = "<!-- testbay-incident "
_CLOSING = " -->"
_MAX_CHARACTERS = 38_000  # of the 65 536 that GitHub takes for a body

Kind = Literal["fail", "stale", "error"]
KINDS: tuple[Kind, ...] = ("fail", "stale", "error")
Hash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Text = Annotated[str, Field(max_length=500)]
Turn = Literal["opened", "reopened", "closed", "retired"]
ENDS: tuple[Turn, ...] = ("closed", "retired")
MOST_UNTOLD = 20
Checks = Annotated[tuple[Text, ...], Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of an incident.

    `scope` identifies service and target, `key` the cause it was opened for. `checks` are all checks that it has had,
    `failing` those of its last bad run. `seen` and `run` are start and id of the newest run, `good` the ids of the good
    runs in a row, `recovered` the start of the first of them. `good_commit` is the last one before the failure,
    `bad_commit` the newest with it, `fixed_commit` the newest after it. `untold` are the turns that Slack was not told.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    scope: Hash
    kind: Kind
    key: Hash
    checks: Checks
    failing: Checks
    started: AwareDatetime
    seen: AwareDatetime
    run: Text
    good: tuple[Text, ...] = ()
    recovered: AwareDatetime | None = None
    good_commit: Text = ""
    bad_commit: Text = ""
    fixed_commit: Text = ""
    duplicate_of: Annotated[int, Field(ge=0)] = 0
    untold: Annotated[tuple[Turn, ...], Field(max_length=MOST_UNTOLD)] = ()


_STATE = TypeAdapter(State)  # made once: it takes 3 ms, and each issue is read by it


def digest(*parts: str) -> str:
    """Hash words to 16 hexadecimal digits, equal in every version that has this VERSION."""
    return hashlib.sha256("\0".join((str(VERSION), *parts)).encode()).hexdigest()[:16]


def write(state: State) -> str:
    """Serialise a state as the hidden line.

    Raises:
        IncidentsError: The state has more checks than an issue has room for.
    """
    content = {"v": VERSION} | asdict(state) | {"checks": sorted({*state.checks} - {*state.failing})}
    text = json.dumps(content, separators=(",", ":"), default=datetime.isoformat)
    # Nothing in it may end the comment that it stands in.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("--", "-\\u002d")
    if len(text) > _MAX_CHARACTERS:
        what = f"an incident of {len(state.checks)} checks is more than an issue has room for"
        raise IncidentsError(what, todo="give the checks shorter ids, or fewer of them one target")
    return _OPENING + text + _CLOSING


def rewrite(body: str, state: State) -> str:
    """Replace the hidden line of a body.

    Raises:
        IncidentsError: The state has more checks than an issue has room for.
    """
    return f"{write(state)}\n{body.partition(chr(10))[2]}"


def read(body: str) -> State | None:
    """Parse the hidden line of a body; None if it has none, or a person has changed it.

    Raises:
        IncidentsError: A newer testbay wrote it.
    """
    line = body.partition("\n")[0].rstrip()
    if not (line.startswith(_OPENING) and line.endswith(_CLOSING)) or len(line) > _MAX_CHARACTERS + 50:
        return None
    try:
        content = json.loads(line[len(_OPENING) : -len(_CLOSING)])
        version = content.pop("v")
        if isinstance(version, int) and version > VERSION:
            todo = "use the newest testbay everywhere"
            raise IncidentsError(f"an incident was written by a newer testbay (marker {version})", todo=todo)
        content["checks"] = sorted({*content["checks"], *content["failing"]})  # failing checks are not written twice
        return _STATE.validate_json(json.dumps(content))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError, ValidationError):
        return None
