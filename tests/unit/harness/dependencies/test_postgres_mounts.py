from pathlib import Path

import pytest

from testbay.harness.dependencies.postgres.image import Script
from testbay.harness.dependencies.postgres.mounts import SCRATCH, Named, named
from testbay.manifest.compose.reading import ComposeService, Granted, Volume


def service(folder: Path) -> ComposeService:
    """One with a folder of SQL, a project, its data and a secret."""
    (folder / "sql/deep").mkdir(parents=True)
    (folder / "sql/a.sql").touch()
    (folder / "sql/out").symlink_to("/etc")
    (folder / "key.txt").touch()
    places = ("/sql", "/sql/deep", "/docker-entrypoint-initdb.d", "/var/lib/postgresql/data")
    volumes = [Volume(type="bind", source=str(folder / "sql"), target=place) for place in places]
    volumes.append(Volume(type="bind", source=str(folder / "none"), target="/none"))
    granted = Granted(name="key", target="/run/secrets/key", file=folder / "key.txt")
    return ComposeService(key="db", image="postgres", volumes=tuple(volumes), secrets=(granted,))


@pytest.mark.parametrize(
    ("text", "made", "paths"),
    [
        ("psql -f /sql/a.sql", "psql -f HERE/sql/a.sql", ["sql/a.sql"]),
        ("COPY t FROM '/sql/a.sql';", "COPY t FROM 'HERE/sql/a.sql';", ["sql/a.sql"]),
        ('for f in /sql/*.sql; do < "$f"', 'for f in HERE/sql/*.sql; do < "$f"', ["sql"]),
        ("\\i /docker-entrypoint-initdb.d/a.sql", "\\i HERE/sql/a.sql", ["sql/a.sql"]),
        ("cat /sql/deep/$X.sql", "cat HERE/sql/$X.sql", ["sql"]),
        ("PW=$(cat /run/secrets/key)", "PW=$(cat HERE/key.txt)", ["key.txt"]),
        ("cd /sql", "cd HERE/sql", ["sql"]),
        (f"cat /sql/{'x' * 300}", f"cat HERE/sql/{'x' * 300}", ["sql"]),
        ("cat /sql/../a.sql", "cat HERE/sql/../a.sql", ["sql/a.sql"]),
        ("cat /sql/out/passwd", "cat /sql/out/passwd", []),
        ("$ROOT/sql/a.sql /my/sql/a.sql ${R}/sql /sqlite /sql.d", None, []),
        ("rm -rf /var/lib/postgresql/data/x; cat /none/x", None, []),
    ],
)
def test_a_mount_that_a_script_names_is_found(tmp_path: Path, text: str, made: str | None, paths: list[str]) -> None:
    """By its place in the container, where a path begins; never data, nor what a link leads to."""
    found = named(service(tmp_path), [Script(name="1.sh", source=text)])

    assert found.here(text, is_sql=False) == (made or text).replace("HERE", str(tmp_path))
    assert list(found.paths) == [tmp_path / path for path in paths]


@pytest.mark.parametrize(
    ("text", "is_sql", "moves"),
    [
        ('echo x >/tmp/a; sort "/tmp/a"', False, True),
        ("psql -c \"COPY t FROM '/tmp/a'\"", False, True),
        ("psql -c \"INSERT INTO t VALUES ('/tmp/a')\"", False, False),
        ("\\i /tmp/a", True, True),
        ("COPY t TO '/tmp/a';", True, True),
        ("INSERT INTO t VALUES ('/tmp/a', '{\"dir\": \"/tmp/a\"}', 'in /tmp/a');", True, False),
    ],
)
def test_a_value_of_a_table_is_no_file_in_tmp(tmp_path: Path, text: str, *, is_sql: bool, moves: bool) -> None:
    """The scripts have a /tmp of their own; what they store in a table is what the image stores."""
    found = Named(places={SCRATCH: tmp_path}, paths=())

    assert found.here(text, is_sql=is_sql) == (text.replace("/tmp", str(tmp_path)) if moves else text)


def test_packed_and_long_scripts_are_not_looked_at(tmp_path: Path) -> None:
    """They are dumps, which are run as they are."""
    asked = service(tmp_path)
    for name in ("1.sql.gz", "2.sql"):
        (tmp_path / name).write_text("\\i /sql/a.sql" + " " * (1_000_001 if name == "2.sql" else 0))

    assert named(asked, [Script(name=name, source=tmp_path / name) for name in ("1.sql.gz", "2.sql")]).places == {}
