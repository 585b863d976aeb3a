"""The template cache end to end: warm when nothing changed, cold when something did, never wrong."""

import os
import shutil

import pytest
from tests.system.conftest import Bay

WARM = "2 already applied in the template this start was copied from"
KEPT = "kept as a template: the next start with these migrations copies it (--cold does not)"


@pytest.fixture(autouse=True)
def empty(bay: Bay) -> None:
    """Here nothing was made before."""
    shutil.rmtree(bay.cache / "templates")


def test_second_start_is_warm(bay: Bay) -> None:
    """The same migrations are not applied twice: the database is copied, and the tests still find it migrated."""
    first, second = bay.run("run", "shop"), bay.run("run", "shop")

    assert (first.code, f"    {KEPT}" in first.lines) == (0, True)
    assert (second.code, f"    {WARM}" in second.lines) == (0, True)


def test_cold_takes_the_long_path(bay: Bay) -> None:
    """--cold neither uses nor makes a template, so that CI can prove the migrations themselves."""
    bay.run("exec", "shop", "--", "true")
    cold = bay.run("run", "shop", "--cold")

    assert (cold.code, WARM in cold.out, "    0001_items.sql" in cold.lines) == (0, False, True)


def test_changed_migration_is_another_template(bay: Bay) -> None:
    """A template belongs to the text of its migrations; what initdb made is copied for all of them."""
    bay.run("exec", "shop", "--", "true")
    [initial] = (bay.cache / "templates").glob("initial-*")
    os.utime(initial, (0, 0))
    (bay.service / "migrations" / "0002_stock.sql").write_text("ALTER TABLE items ADD COLUMN stock bigint;\n")
    changed = bay.run("exec", "shop", "--", "true")

    assert (changed.code, f"    {KEPT}" in changed.lines) == (0, True)
    assert len(list((bay.cache / "templates").iterdir())) == 3
    assert initial.stat().st_mtime > 0  # last used now


def test_damaged_template_is_made_again(bay: Bay) -> None:
    """A template of which somebody cut a piece off is detected, removed and made again."""
    bay.run("exec", "shop", "--", "true")
    whole = {entry: entry.stat().st_size for entry in (bay.cache / "templates").iterdir()}
    for entry, size in whole.items():
        os.truncate(entry, size - 1)
    again = bay.run("run", "shop")

    assert (again.code, f"    {KEPT}" in again.lines) == (0, True)
    assert all(entry.stat().st_size >= size for entry, size in whole.items())


def test_without_migrations_means_without(bay: Bay) -> None:
    """Exec --no-migrate does not get a template's migrated database."""
    bay.run("exec", "shop", "--", "true")
    count = 'psql "$DATABASE_URL" -Atc "SELECT count(*) FROM pg_tables WHERE schemaname = \'public\'"'
    done = bay.run("exec", "shop", "--no-migrate", "--", "sh", "-c", count)

    assert (done.code, done.lines[-1]) == (0, "0")
