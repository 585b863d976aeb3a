"""How many workers a run gets."""

import io
from pathlib import Path

import pytest

from testbay import settings
from testbay.errors import ManifestError
from testbay.harness.interpreter import Interpreter
from testbay.harness.run import workers
from testbay.harness.run.run import Run
from testbay.manifest.service import Manifest
from testbay.output import Voice


@pytest.mark.parametrize(
    ("asked", "seconds", "processors", "memory", "expected"),
    [
        pytest.param("auto", 60.0, 4, 64 << 30, 4, id="a-worker-for-each-processor"),
        pytest.param("auto", 0.0, 4, 64 << 30, 4, id="nothing-recorded"),
        pytest.param("auto", 7.0, 4, 64 << 30, 2, id="little-to-do"),
        pytest.param("auto", 60.0, 4, 1 << 30, 2, id="little-memory"),
        pytest.param("auto", 60.0, 4, 1 << 20, 1, id="one-at-least"),
        pytest.param(7, 1.0, 1, 1 << 20, 7, id="a-number-is-obeyed"),
        pytest.param("3", 1.0, 1, 1 << 20, 3, id="a-number-from-the-environment"),
    ],
)
def test_workers_are_as_many_as_have_something_to_do(  # noqa: PLR0917 - a table
    monkeypatch: pytest.MonkeyPatch, asked: str | int, seconds: float, processors: int, memory: int, expected: int
) -> None:
    """Each costs a second to start, and memory."""
    monkeypatch.setattr(workers, "_processors", lambda: processors)
    monkeypatch.setattr(workers, "_free_memory_bytes", lambda: memory)

    assert workers.choose(asked, {"a": seconds} if seconds else {}) == expected


def test_this_machine_is_measured() -> None:
    """With what it really has."""
    assert workers.choose("auto", {}) >= 1


def test_without_xdist_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests run all the same, one after the other."""
    monkeypatch.setattr(workers, "find_spec", lambda _: None)
    manifest = Manifest(service="shop", workers=2, file=tmp_path, root=tmp_path)
    said = io.StringIO()
    run = Run(manifest, tmp_path, settings.load(environ={"HOME": "/"}), Voice(said))

    chosen = workers.decide(run, Interpreter(program=Path("python")))

    why = "note: the tests run in one process: workers need pytest-xdist, which is not installed"
    assert (chosen, said.getvalue().strip()) == ((1, []), why)


def test_workers_of_the_environment_are_a_number() -> None:
    """Or `auto`."""
    with pytest.raises(ManifestError, match="TESTBAY_WORKERS: 'many' is not a number of workers"):
        settings.load(environ={"HOME": "/", "TESTBAY_WORKERS": "many"})
