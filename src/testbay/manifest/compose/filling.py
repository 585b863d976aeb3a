"""Interpolating variables in a whole file. A value that cannot be filled in stops only runs that need its service."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose.document import Replaced, Written
from testbay.manifest.compose.finding import UnboundedError
from testbay.manifest.compose.interpolation import (
    InvalidTemplateError,
    OversizedTextError,
    UnsetVariableError,
    interpolate,
    names_in,
)
from testbay.manifest.compose.variables import Variables

_BARE = re.compile(r"(?<!\$)\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)  # a variable without a default
_MOST_FILLED = 8_000_000
_BOOLEANS = {"true": True, "y": True, "yes": True, "on": True, "1": True, "t": True}
_BOOLEANS |= {"false": False, "n": False, "no": False, "off": False, "0": False, "f": False}


class Filled(str):
    """A text with its variables filled in; `origin` says where each value came from, or which had none."""

    __slots__ = ("__dict__",)
    origin: str


class Unset(str):
    """A placeholder for a value that cannot be filled in; `problem` is the error for a run that needs it."""

    __slots__ = ("__dict__",)
    problem: ManifestError

    @classmethod
    def of(cls, problem: ManifestError) -> "Unset":
        """Make a placeholder for a value."""
        made = cls("")
        made.problem = problem
        return made


def unset_in(value: Any) -> Iterator[ManifestError]:
    """Yield the errors of all values in a tree that cannot be filled in."""
    if isinstance(value, Unset):
        yield value.problem
    elif isinstance(value, ManifestError):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from unset_in(item)


def blanks_in(value: Any) -> Iterator[str]:
    """Yield a message for each unset variable that left a gap in a text of the tree."""
    if isinstance(value, Filled):
        yield from (part for part in value.origin.split(", ") if " is not set" in part)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from blanks_in(item)


def fill(value: Any, variables: Variables, path: tuple[str, ...] = ()) -> Any:
    """Fill in every `$NAME` in a tree, and convert texts to numbers and booleans where Compose does."""
    if isinstance(value, dict):
        return {key: fill(item, variables, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, variables, (*path, "*")) for item in value]
    if isinstance(value, Replaced):
        return Replaced(fill(value.value, variables, path))
    if not isinstance(value, str):
        return value
    filled = _filled(value, variables, path) if "$" in value else value
    return filled if isinstance(filled, Unset) else _cast(filled, path)


def _filled(text: str, variables: Variables, path: tuple[str, ...]) -> str:
    where = f"{_place(text)}{'.'.join(part for part in path if part != '*')}"
    try:
        made = Filled(interpolate(text, variables.get))
    except OversizedTextError as error:
        raise UnboundedError(f"{where}: {error}", todo="write the value itself") from None
    except UnsetVariableError as error:
        template = variables.template(error.name)
        dotenv = f"set it in {variables.folder / '.env'}: Compose looks there too"
        return Unset.of(
            ManifestError(
                f"{where} needs the variable {error.name}",
                why=error.message or "it has no value",
                todo=f"export {error.name}=…, or {f'cp {template} .env, which sets it' if template else dotenv}",
            )
        )
    except InvalidTemplateError:
        return Unset.of(
            ManifestError(
                f"{where}: {text[:200]!r} is not a valid variable",
                why="a $ begins a variable in every text of a compose file",
                todo="write ${NAME:-default}, or $$ for a dollar",
            )
        )
    variables.filled.total += len(made)
    if variables.filled.total > _MOST_FILLED:
        raise UnboundedError(f"{where}: variables make more than {_MOST_FILLED} characters of the file")
    names = sorted(names_in(text))
    used = [f"{name} from {variables.origin(name)}" for name in names if variables.get(name) is not None]
    blank = {first or second for first, second in _BARE.findall(text)}
    unset = [_unset(n, variables) for n in names if variables.get(n) is None and (not made or n in blank)]
    made.origin = ", ".join(used + unset)
    return made


def _unset(name: str, variables: Variables) -> str:
    template = variables.template(name)
    return f"{name} is not set" + (f"; cp {template} .env sets it" if template else "")


def _place(text: str) -> str:
    if isinstance(text, Written):
        path, line = text.place
        return f"{path}:{line}: "
    return ""


def _cast(text: str, path: tuple[str, ...]) -> Any:
    """Convert a text to a number or a boolean where the key takes one."""
    kind = next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, ".".join(path))), None)
    if kind is None or not text:
        return text
    try:
        return kind(text)
    except (ValueError, KeyError):
        where = f"{_place(text)}{'.'.join(path)}"
        return Unset.of(ManifestError(f"{where}: {text[:80]!r} is not a number or boolean", todo="fix the value"))


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


_OF_SERVICE: dict[Callable[[str], Any], str] = {
    _boolean: r"init|oom_kill_disable|privileged|read_only|stdin_open|tty|healthcheck\.disable"
    r"|volumes\.\*\.read_only|volumes\.\*\.volume\.nocopy",
    int: r"(configs|secrets)\.\*\.mode|cpu_count|cpu_(rt_)?period|cpu_quota|cpu_rt_runtime|cpu_shares|deploy\.replicas"
    r"|deploy\.(update_config|rollback_config)\.parallelism|deploy\.restart_policy\.max_attempts"
    r"|deploy\.placement\.max_replicas_per_node|healthcheck\.retries|oom_score_adj|pids_limit|ports\.\*\.target"
    r"|scale|ulimits\.[^.]+(\.(hard|soft))?",
    float: r"cpu_percent|cpus|deploy\.(update_config|rollback_config)\.max_failure_ratio",
}
_KINDS = [(rf"services\.[^*]+?\.({pattern})", kind) for kind, pattern in _OF_SERVICE.items()]
_KINDS += [(r"networks\.[^.]+\.(external|internal|attachable)|(volumes|secrets|configs)\.[^.]+\.external", _boolean)]
