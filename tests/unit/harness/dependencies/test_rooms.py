import sys
from importlib import metadata
from types import ModuleType

import pytest

from testbay.errors import ManifestError
from testbay.harness import dependencies
from testbay.harness.dependencies import ROOMS, postgres


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that an installed package registers as the dependency `queue`; it has PostgreSQL's members."""
    module = ModuleType("some_queue")
    vars(module).update({name: value for name, value in vars(postgres).items() if not name.startswith("_")})
    monkeypatch.setitem(sys.modules, "some_queue", module)
    point = metadata.EntryPoint(name="queue", value="some_queue", group="testbay.dependencies")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints([point]))
    monkeypatch.setattr(dependencies, "ROOMS", type(ROOMS)())
    return module


def test_a_room_of_a_package_is_found(registered: ModuleType) -> None:
    """It satisfies the Protocol as a module does that testbay brings."""
    registered.NAME = "queue"  # type: ignore[attr-defined]

    assert dependencies.ROOMS["queue"] is registered


def test_an_unfinished_room_is_refused(registered: ModuleType) -> None:
    """The message lists what it lacks."""
    del registered.probe

    with pytest.raises(ManifestError, match=r"dependency 'queue' is incomplete: it lacks .*probe"):
        dependencies.ROOMS["queue"]


@pytest.mark.usefixtures("registered")
def test_a_room_with_another_name_is_refused() -> None:
    """Two names for one thing would meet in no record."""
    with pytest.raises(ManifestError, match="dependency 'queue' calls itself 'postgres'"):
        dependencies.ROOMS["queue"]


def test_a_room_that_cannot_be_imported_is_refused(monkeypatch: pytest.MonkeyPatch, registered: ModuleType) -> None:
    """The message has the package's own error."""
    monkeypatch.setitem(sys.modules, "some_queue", None)

    with pytest.raises(ManifestError, match="dependency 'queue' cannot be imported: ModuleNotFoundError"):
        dependencies.ROOMS["queue"]


def test_an_unknown_room_is_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in every mapping."""
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints(()))

    with pytest.raises(KeyError, match="kafka"):
        ROOMS["kafka"]
