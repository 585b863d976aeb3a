import os
import tempfile
from pathlib import Path

import pytest

from testbay import settings
from testbay.errors import ManifestError

HOME = {"HOME": str(Path.home())}


def test_defaults_need_no_environment_but_a_home() -> None:
    """Without flags and variables the call is the documented one."""
    loaded = settings.load(environ=HOME)

    assert loaded == settings.Settings(cache_dir=Path.home() / ".cache/testbay", environ=HOME)
    assert loaded.stacks_dir == Path.home() / ".cache/testbay/stacks"


def test_a_flag_beats_the_variable_beats_the_default() -> None:
    """One order for every setting."""
    environ = {**HOME, "TESTBAY_ENGINE": "compose"}

    assert settings.load(environ=HOME).engine == "auto"
    assert settings.load(environ=environ).engine == "compose"
    assert settings.load(environ=environ, engine="embedded").engine == "embedded"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({**HOME, "XDG_CACHE_HOME": "/var/c"}, "/var/c/testbay"),
        ({**HOME, "XDG_CACHE_HOME": "/var/c", "TESTBAY_CACHE_DIR": "/x"}, "/x"),
        ({**HOME, "XDG_CACHE_HOME": "", "TESTBAY_CACHE_DIR": ""}, str(Path.home() / ".cache/testbay")),
        ({"HOME": "here"}, str(Path.cwd() / "here/.cache/testbay")),
        ({**HOME, "XDG_CACHE_HOME": "here"}, str(Path.cwd() / "here/testbay")),
        ({**HOME, "TESTBAY_CACHE_DIR": "here"}, str(Path.cwd() / "here")),
        ({}, str(Path.home() / ".cache/testbay")),
    ],
)
def test_the_cache_folder_is_absolute(environ: dict[str, str], folder: str) -> None:
    """The guard works in another folder, so a relative one would be two."""
    assert settings.load(environ=environ).cache_dir == Path(folder)


def test_a_home_that_cannot_be_looked_into_stops_nothing() -> None:
    """HOME=/root of another user, in a container; a name that is too long is refused to root as well."""
    assert settings.load(environ={"HOME": f"/{'x' * 300}"}).cache_dir.is_absolute()


def test_the_other_variables_are_read() -> None:
    """Each variable of the reference arrives in its field."""
    environ = {**HOME, "CI": "true", "TESTBAY_LLM": "replay", "TESTBAY_READY_TIMEOUT": "1.5"}
    environ |= {"TESTBAY_TEST_TIMEOUT": "60", "GITHUB_STEP_SUMMARY": "/runner/summary"}

    assert settings.load(environ=environ, cold=True) == settings.Settings(
        cache_dir=Path.home() / ".cache/testbay",
        ci=True,
        replay_asked=True,
        ready_timeout_s=1.5,
        test_timeout_s=60,
        test_timeout_asked=True,
        cold=True,
        step_summary=Path("/runner/summary"),
        environ=environ,
    )


@pytest.mark.parametrize(
    ("workspace", "path"), [("/repo", "services"), ("/repo/services", "."), ("/else", "."), ("", ".")]
)
def test_folders_are_named_from_the_workspace(workspace: str, path: str) -> None:
    """GitHub finds the file of an annotation from the root of the checkout; elsewhere nobody asks."""
    found = settings.load(environ={**HOME, "GITHUB_WORKSPACE": workspace})

    assert found.path_in_workspace(Path("/repo/services")) == Path(path)


def test_a_test_time_limit_below_a_second_is_not_taken_for_none() -> None:
    """pytest-timeout reads 0 as no limit at all."""
    assert settings.load(environ={**HOME, "TESTBAY_TEST_TIMEOUT": "0.2"}).test_timeout_s == 1


@pytest.mark.parametrize(("text", "is_ci"), [("1", True), ("YES", True), ("0", False), ("false", False), ("", False)])
def test_ci_is_what_ci_services_set(text: str, is_ci: bool) -> None:  # noqa: FBT001  a table's column
    """CI=false at home stays at home."""
    assert settings.load(environ={**HOME, "CI": text}).ci is is_ci


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"TESTBAY_ENGINE": "podman"},
            "TESTBAY_ENGINE: 'podman' is not an engine\n  do:       use one of: auto, compose, embedded",
        ),
        (
            {"TESTBAY_LLM": "fake"},
            "TESTBAY_LLM: 'fake' is neither live nor replay\n  do:       unset it, or TESTBAY_LLM=replay",
        ),
        (
            {"TESTBAY_READY_TIMEOUT": "soon"},
            "TESTBAY_READY_TIMEOUT: 'soon' is not a number of seconds\n  do:       set it to e.g. 60",
        ),
        (
            {"TESTBAY_TEST_TIMEOUT": "nan"},
            "TESTBAY_TEST_TIMEOUT: 'nan' is not a number of seconds\n  do:       set it to e.g. 300",
        ),
        (
            {"TESTBAY_CACHE_DIR": "~no-such-user/x"},
            (
                "no cache folder: Could not determine home directory.\n"
                "  do:       name one of your own: TESTBAY_CACHE_DIR=…"
            ),
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    """The variable, its value and a right one are in the message."""
    with pytest.raises(ManifestError) as refused:
        settings.load(environ={**HOME, **environ})

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "home",
    [
        pytest.param("/dev/null/none", id="a-home-that-is-not-there"),
        pytest.param("/dev/null", id="a-home-that-cannot-be-written"),
    ],
)
def test_a_user_without_a_home_has_a_folder_of_temporary_files(home: str) -> None:
    """As in a container; named by the user, so that two of them have two."""
    assert settings.cache_dir({"HOME": home}) == Path(tempfile.gettempdir()) / f"testbay-{os.geteuid()}"


def test_a_cache_folder_that_is_named_is_taken(tmp_path: Path) -> None:
    """Whether or not it can be written: the message about it names it then."""
    assert settings.cache_dir({"HOME": "/dev/null", "XDG_CACHE_HOME": "/proc/x"}) == Path("/proc/x/testbay")
    assert settings.cache_dir({"HOME": str(tmp_path)}) == tmp_path / ".cache/testbay"


def test_a_wrong_flag_is_not_blamed_on_the_variable() -> None:
    """The message names where the value came from."""
    with pytest.raises(ManifestError, match="--engine: 'x' is not an engine"):
        settings.load(engine="x", environ={**HOME, "TESTBAY_ENGINE": "auto"})


@pytest.mark.parametrize("bad", ["0", "-1", "inf", "86400", "1e99"])
def test_a_time_limit_is_a_positive_part_of_a_day(bad: str) -> None:
    """No limit that never comes, and none that is over before it begins."""
    with pytest.raises(ManifestError, match="is not a number of seconds"):
        settings.load(environ={**HOME, "TESTBAY_READY_TIMEOUT": bad})


def test_secrets_are_not_in_the_text_of_settings() -> None:
    """A traceback or a log line that shows settings shows no environment."""
    assert "hunter2" not in repr(settings.load(environ={**HOME, "TOKEN": "hunter2"}))


def test_the_environment_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings do not change behind a call's back."""
    monkeypatch.setenv("TESTBAY_UNIT", "1")
    copy = settings.environ()
    loaded = settings.load()
    monkeypatch.setenv("TESTBAY_UNIT", "2")

    assert (copy["TESTBAY_UNIT"], loaded.environ["TESTBAY_UNIT"]) == ("1", "1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("30m", 1800.0), ("2h", 7200.0), ("168h", 604800.0)]
)
def test_durations_are_written_as_people_say_them(text: str, seconds: float) -> None:
    """Seconds unless a unit follows; up to a week."""
    assert settings.duration(text, "--idle") == seconds


@pytest.mark.parametrize("bad", ["", "m", "-1", "0", "169h", "8d", "\u00b2m", "9" * 400])
def test_anything_else_is_no_duration(bad: str) -> None:
    """Refused with the name of the flag and three right ones."""
    with pytest.raises(ManifestError) as refused:
        settings.duration(bad, "--idle")

    assert str(refused.value) == (
        f"--idle: {bad!r} is not a duration\n  do:       write e.g. 500ms, 90s, 5m or 2h (at most a week)"
    )


@pytest.mark.parametrize("text", ["1/1", "2/4", "02/4", "256/256"])
def test_a_shard_is_one_of_so_many(text: str) -> None:
    """By the variable or by the flag, which wins; an empty variable is none."""
    number, of = map(int, text.split("/"))

    assert settings.load(environ={**HOME, "TESTBAY_SHARD": text}).shard == (number, of)
    assert settings.load(environ={**HOME, "TESTBAY_SHARD": "3/3"}, shard=text).shard == (number, of)
    assert settings.load(environ={**HOME, "TESTBAY_SHARD": ""}).shard is None


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/b", "1/0", "1/257", "-1/4", "1", "1/4/4", "1/4\n", "٢/4", "1 /4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """With the name it came by, and how it is written."""
    with pytest.raises(ManifestError) as refused:
        settings.load(environ={**HOME, "TESTBAY_SHARD": text})

    assert str(refused.value).splitlines() == [
        f"TESTBAY_SHARD: {text!r} is not a shard",
        "  do:       write which one of how many, from 1/1 to 256/256: 2/4",
    ]


def test_an_empty_flag_is_no_shard() -> None:
    """A workflow whose variable is empty would run everything in every job."""
    with pytest.raises(ManifestError, match=r"^--shard: '' is not a shard"):
        settings.load(environ=HOME, shard="")


def test_durations_are_for_shards() -> None:
    """The flag without a shard is pytest's own, in the wrong place; the variable may stand in a job's environment."""
    environ = {**HOME, "TESTBAY_DURATIONS": "d.json"}

    assert settings.load(environ=environ).durations == Path("d.json")
    assert settings.load(environ=environ, shard="1/2", durations="e.json").durations == Path("e.json")
    with pytest.raises(ManifestError) as refused:
        settings.load(environ=HOME, durations="10")
    assert str(refused.value).splitlines() == [
        "--durations: no shard to split off",
        "  do:       add --shard, e.g. --shard 1/4; pytest's own option goes after the dashes: -- --durations=10",
    ]


def test_variables_of_a_block_are_gone_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the block did with them, or with the environment as a whole."""
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("KEPT", "before")
    monkeypatch.delenv("MADE", raising=False)
    names, environment = ("PGHOST", "PGPORT", "KEPT", "MADE"), os.environ
    with settings.exported({"KEPT": "inside", "MADE": "here", "PGPORT": "5"}, without="PG"):
        inside = [environment.get(name) for name in names]
        del environment["KEPT"]
        monkeypatch.setattr(os, "environ", {})

    assert inside == [None, "5", "inside", "here"]
    assert [environment.get(name) for name in names] == ["elsewhere", None, "before", None]


@pytest.mark.parametrize(("said", "cold"), [("1", True), ("yes", True), ("", False), ("0", False), ("False", False)])
def test_what_says_cold(said: str, cold: bool) -> None:  # noqa: FBT001 - a column of the table
    """A word that says no means no."""
    assert settings.load(environ={"TESTBAY_COLD": said}).cold is cold
