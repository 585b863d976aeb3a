"""The settings of a call: a flag beats a TESTBAY_ variable beats the default. No other module reads the environment."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from testbay.errors import ManifestError
from testbay.text import parse_duration

ENGINES = ("auto", "compose", "embedded")
MOST_SHARDS = 256  # as many jobs as a matrix of GitHub Actions has


class Shard(NamedTuple):
    """A part of a suite: number `number` (from 1) of `of`, written as 2/4."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a call. Units are in the names; `environ` is the caller's whole environment."""

    engine: str = "auto"
    cache_dir: Path
    ready_timeout_s: float = 60.0
    test_timeout_s: int = 300
    test_timeout_asked: bool = False  # then it beats the suite's own
    startup_budget_s: float = 10.0
    ci: bool = False
    replay_asked: bool = False
    cold: bool = False
    no_coverage: bool = False
    shard: Shard | None = None
    durations: Path | None = None
    workers: str = ""  # a number or `auto`; empty leaves it to the manifest
    step_summary: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets

    @property
    def stacks_dir(self) -> Path:
        """The folder of the records of this user's stacks."""
        return self.cache_dir / "stacks"

    def path_in_workspace(self, folder: Path) -> Path:
        """A folder relative to the checkout's root, as GitHub names files; empty outside of GitHub Actions."""
        root = Path(self.environ.get("GITHUB_WORKSPACE") or folder)
        return folder.relative_to(root) if folder.is_relative_to(root) else Path()


def load(
    *,
    engine: str | None = None,
    cold: bool = False,
    no_coverage: bool = False,
    shard: str | None = None,
    durations: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Load the settings of this call; the arguments are command-line options.

    Raises:
        ManifestError: A value is not one of those allowed.
    """
    env = dict(os.environ if environ is None else environ)
    chosen = engine or env.get("TESTBAY_ENGINE") or "auto"
    if chosen not in ENGINES:
        origin = "--engine" if engine else "TESTBAY_ENGINE"
        raise ManifestError(f"{origin}: {chosen!r} is not an engine", todo=f"use one of: {', '.join(ENGINES)}")
    part = _shard(env, shard)
    if durations is not None and part is None:
        raise ManifestError(
            "--durations: no shard to split off",
            todo="add --shard, e.g. --shard 1/4; pytest's own option goes after the dashes: -- --durations=10",
        )
    times = durations or env.get("TESTBAY_DURATIONS")
    return Settings(
        engine=chosen,
        cache_dir=cache_dir(env),
        ready_timeout_s=_number(env, "TESTBAY_READY_TIMEOUT", 60.0),
        test_timeout_s=math.ceil(_number(env, "TESTBAY_TEST_TIMEOUT", 300)),  # 0 would mean no limit
        test_timeout_asked=bool(env.get("TESTBAY_TEST_TIMEOUT")),
        startup_budget_s=_number(env, "TESTBAY_STARTUP_BUDGET", 10.0),
        ci=env.get("CI", "").lower() in ("1", "true", "yes"),
        replay_asked=_llm(env) == "replay",
        no_coverage=no_coverage,
        cold=cold or env.get("TESTBAY_COLD", "").lower() not in ("", "0", "false", "no", "off"),
        shard=part,
        durations=Path(times) if times else None,
        workers=_workers(env),
        step_summary=Path(env["GITHUB_STEP_SUMMARY"]) if env.get("GITHUB_STEP_SUMMARY") else None,
        environ=env,
    )


def cache_dir(env: Mapping[str, str]) -> Path:
    """The cache folder as an absolute path: the guard works in another folder.

    A user without a writable home folder, as in many containers, gets a folder of temporary files; one that belongs to
    another user is refused, as always.

    Raises:
        ManifestError: TESTBAY_CACHE_DIR names the home folder of a user who is not there.
    """
    try:
        if asked := env.get("TESTBAY_CACHE_DIR"):
            return Path(asked).expanduser().absolute()
    except RuntimeError as error:  # `~nobody-of-that-name`
        raise ManifestError(f"no cache folder: {error}", todo="name one of your own: TESTBAY_CACHE_DIR=…") from None
    if named := env.get("XDG_CACHE_HOME"):
        return Path(named).absolute() / "testbay"
    if folder := _in_home(env):
        return folder
    import tempfile  # rarely wanted, and it takes its time

    return Path(tempfile.gettempdir()) / f"testbay-{os.geteuid()}"


def _in_home(env: Mapping[str, str]) -> Path | None:
    """The usual cache folder; None if it could not be made."""
    try:
        home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    except RuntimeError:  # a user without an entry in /etc/passwd
        return None
    folder = home.absolute() / ".cache/testbay"
    nearest = next((part for part in (folder, *folder.parents) if os.access(part, os.F_OK)), folder)
    return folder if os.access(nearest, os.W_OK | os.X_OK) else None


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise ManifestError(f"{name}: {text!r} is not a number of seconds", todo=f"set it to e.g. {default:g}")
    return value


def _shard(env: Mapping[str, str], flag: str | None) -> Shard | None:
    text = env.get("TESTBAY_SHARD", "") if flag is None else flag
    if flag is None and not text:
        return None
    numbers = re.fullmatch(r"([0-9]{1,3})/([0-9]{1,3})", text)
    shard = Shard(int(numbers[1]), int(numbers[2])) if numbers else Shard(0, 0)
    if not 1 <= shard.number <= shard.of <= MOST_SHARDS:
        raise ManifestError(
            f"{'TESTBAY_SHARD' if flag is None else '--shard'}: {text!r} is not a shard",
            todo=f"write which one of how many, from 1/1 to {MOST_SHARDS}/{MOST_SHARDS}: 2/4",
        )
    return shard


def _workers(env: Mapping[str, str]) -> str:
    asked = env.get("TESTBAY_WORKERS", "")
    if asked not in ("", "auto") and not re.fullmatch(r"[1-9][0-9]{0,2}", asked):
        raise ManifestError(f"TESTBAY_WORKERS: {asked!r} is not a number of workers", todo="set it to auto, or e.g. 2")
    return asked


def _llm(env: Mapping[str, str]) -> str:
    asked = env.get("TESTBAY_LLM", "")
    if asked not in ("", "replay", "live"):
        raise ManifestError(
            f"TESTBAY_LLM: {asked!r} is neither live nor replay", todo="unset it, or TESTBAY_LLM=replay"
        )
    return asked


@contextmanager
def without(prefix: str) -> Iterator[None]:
    """Hide the variables with a prefix during a block, from a library that always reads them."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def exported(values: Mapping[str, str], without: str) -> Iterator[None]:
    """Set variables during a block, and hide those with the prefix `without`."""
    environment = os.environ  # that one again, also if a test puts another in its place
    hidden = [name for name in environment if name.startswith(without) and name not in values]
    before = {name: environment.get(name) for name in (*hidden, *values)}
    for name in hidden:
        del environment[name]
    environment.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value


def environ() -> dict[str, str]:
    return dict(os.environ)


def has_variables(prefix: str) -> bool:
    return any(name.startswith(prefix) for name in os.environ)


def export(name: str, value: str) -> None:
    """Set a variable for this process and what it starts."""
    os.environ[name] = value


def drop(name: str) -> None:
    """Unset a variable for this process and what it starts."""
    os.environ.pop(name, None)


def duration(text: str, what: str) -> float:
    """Parse the duration of an option into seconds: `90`, `500ms`, `90s`, `30m`, `2h`.

    Raises:
        ManifestError: Not such a duration, or more than a week; names the option.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        said, _, todo = str(error).partition(": ")
        raise ManifestError(f"{what}: {said}", todo=todo) from None
