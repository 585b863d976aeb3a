"""Migrations of other tools: which files lead up, in which order, and which part of each."""

from pathlib import Path

import pytest

from testbay.errors import MigrationError
from testbay.harness.stack.migrations import dialects


def folder(place: Path, *names: str, **texts: str) -> Path:
    """A folder with these files; `a__sql="x"` has a text."""
    made = place / "migrations"
    made.mkdir()
    for name, text in {**dict.fromkeys(names, ""), **texts}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text, encoding="utf-8")
    return made


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10_c.sql", "2_b.sql", "1_a.sql"], ["1_a.sql", "2_b.sql", "10_c.sql"]),
        (["V2__b.sql", "V1__a.sql", "V10__c.sql"], ["V1__a.sql", "V2__b.sql", "V10__c.sql"]),
        (["0002_b.sql", "0002_a.sql", "seed.sql"], ["seed.sql", "0002_a.sql", "0002_b.sql"]),
        (["1_a.sql", "1_a.down.sql", "README.md"], ["1_a.sql"]),
        (["V1.10__b.sql", "V1.2__a.sql", "U1.2__a.sql", "R__z.sql"], ["V1.2__a.sql", "V1.10__b.sql", "R__z.sql"]),
        (["V2__b.sql", "B2__base.sql", "V1__a.sql", "V3__c.sql"], ["B2__base.sql", "V3__c.sql"]),
        (
            ["V1__a.sql", "afterMigrate.sql", "beforeMigrate__x.sql"],
            ["beforeMigrate__x.sql", "V1__a.sql", "afterMigrate.sql"],
        ),
        (["sub/V2__b.sql", "V1__a.sql", "seed.sql"], ["V1__a.sql", "V2__b.sql"]),
        (["1_a.up.sql", "1_a.down.sql", "2_b.up.sql"], ["1_a.up.sql", "2_b.up.sql"]),
        (["1_a.sql", "1_a.undo.sql", "2_b.sql", "2_b.rollback.sql"], ["1_a.sql", "2_b.sql"]),
        (["001.do.sql", "001.undo.sql", "002.do.b.sql", "002.undo.b.sql"], ["001.do.sql", "002.do.b.sql"]),
        (["1_a_up.sql", "1_a_down.sql"], ["1_a_up.sql"]),
        (["1_scale_down.sql"], ["1_scale_down.sql"]),
        (["down_1.sql", "up_1.sql", "downgrade-2.sql", "upgrade-2.sql"], ["up_1.sql", "upgrade-2.sql"]),
        (["1_a_forward.sql", "1_a_backward.sql", "2_b.sql", "rollback_2_b.sql"], ["1_a_forward.sql", "2_b.sql"]),
        (["1_a.sql", "1_a_rb.sql", "1_a.drop.sql"], ["1_a.sql"]),
        (["log.sql", "undo_log.sql"], ["log.sql", "undo_log.sql"]),
        (["log_v2.sql", "undo_log_v2.sql"], ["log_v2.sql", "undo_log_v2.sql"]),
        (["1_a.sql", "2_a_drop.sql", "3_drop_a.sql"], ["1_a.sql", "2_a_drop.sql", "3_drop_a.sql"]),
        (["1.10_c.sql", "1.2_b.sql", "1_a.sql", "schema.sql"], ["schema.sql", "1_a.sql", "1.2_b.sql", "1.10_c.sql"]),
        (["2_B.SQL", "1_a.sql", "2_b.DOWN.SQL", "._1_a.sql", ".#1_a.sql"], ["1_a.sql", "2_B.SQL"]),
        (["1_2fa.sql", "1.2fa.sql", "post-apply.sql"], ["1.2fa.sql", "1_2fa.sql", "post-apply.sql"]),
        (["M10__c.sql", "M2__b.sql", "M1__a.sql"], ["M1__a.sql", "M2__b.sql", "M10__c.sql"]),
        (["20240102_b.sql", "20240101_a.sql"], ["20240101_a.sql", "20240102_b.sql"]),
    ],
)
def test_files_apply_as_by_their_own_tool(tmp_path: Path, names: list[str], order: list[str]) -> None:
    """Flyway, golang-migrate, postgrator and plain numbers."""
    assert [file.name for file in dialects.ordered(folder(tmp_path, *names))] == order


def test_a_folder_named_like_a_migration_is_none(tmp_path: Path) -> None:
    """Only files apply."""
    made = folder(tmp_path, "1_a.sql")
    for name in ("2_old.sql", "down"):
        (made / name).mkdir()
        (made / name / "b.sql").write_text("SELECT 1;")

    assert dialects.ordered(made) == [made / "1_a.sql"]
    assert dialects.left_out(made, dialects.ordered(made)) == ["2_old.sql/b.sql"]


def test_sql_by_another_name_is_left_out_and_said(tmp_path: Path) -> None:
    """Its tool may apply it; a dump beside the migrations may be meant for something else."""
    made = folder(tmp_path, "1_a.sql", "b.psql", "dump.sql.gz", "notes.txt", ".swap.psql")

    assert dialects.ordered(made) == [made / "1_a.sql"]
    assert dialects.left_out(made, dialects.ordered(made)) == ["b.psql", "dump.sql.gz"]


def test_a_file_below_that_another_includes_is_not_left_out(tmp_path: Path) -> None:
    """The name behind `i` counts from the migrations' folder, where psql runs; behind `ir` from the file itself."""
    made = folder(tmp_path, **{"1_a.sql": "\\i parts/a.sql\n"})
    (made / "parts/v2").mkdir(parents=True)
    (made / "parts/a.sql").write_text("\\ir 'b.sql'\n\\ir v2/c.sql\n")
    (made / "parts/b.sql").write_text("\\ir a.sql\n")
    for name in ("b.sql", "v2/c.sql", "v2/a.sql"):
        (made / "parts" / name).touch()

    assert dialects.left_out(made, dialects.ordered(made)) == ["parts/v2/a.sql"]


def test_plain_files_that_include_others_or_lie_beside_a_plan_are_applied(tmp_path: Path) -> None:
    """A folder that a migration includes does not count apart; a plan of Sqitch is for the changes that it names."""
    made = folder(
        tmp_path, **{"all.sql": "\\ir 1_a/up.sql\n", "../sqitch.plan": "%project=x\n\nother 2024 A <a@b.c>\n"}
    )
    (made / "1_a").mkdir()
    (made / "1_a/up.sql").touch()

    assert dialects.ordered(made) == [made / "all.sql"]


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    """It has the name of a migration, and would be left out."""
    made = folder(tmp_path, "1_a.sql")
    (made / "2_b.sql").symlink_to("../shared/b.sql")

    with pytest.raises(MigrationError, match=r"2_b\.sql is a link to \.\./shared/b\.sql, which is not there"):
        dialects.ordered(made)


@pytest.mark.parametrize("names", [[], ["1_a.down.sql"], ["1_a.txt"]])
def test_an_empty_folder_is_no_set_of_migrations(tmp_path: Path, names: list[str]) -> None:
    """A green run on a database without tables would prove nothing."""
    made = folder(tmp_path, *names)

    with pytest.raises(MigrationError) as refused:
        dialects.ordered(made)

    assert str(refused.value) == (
        f"{made} holds no migration\n"
        "  why:      migrations are files named *.sql or *.up.sql directly in that folder\n"
        "  do:       add one (0001_first.sql), or take `migrations` out of the manifest"
    )


@pytest.mark.parametrize(
    ("names", "todo"),
    [
        (["v1/1_a.sql", "v2/1_b.sql"], 'name the folder of v1/1_a.sql; of several, let a tool do it: migrate = "…"'),
        (["shop.psql"], 'let a tool apply shop.psql: migrate = "…" instead of migrations'),
    ],
)
def test_a_folder_with_other_sql_names_it(tmp_path: Path, names: list[str], todo: str) -> None:
    """Whether `v2` follows `v1` or replaces it, only its tool knows."""
    with pytest.raises(MigrationError) as refused:
        dialects.ordered(folder(tmp_path, *names))

    assert refused.value.todo == todo


def test_flyway_may_have_folders_alone(tmp_path: Path) -> None:
    """A folder for each release: versions are in order across them."""
    for name in ("2/V10__c.sql", "1/V1__a.sql", "2/V2__b.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert [file.name for file in dialects.ordered(tmp_path)] == ["V1__a.sql", "V2__b.sql", "V10__c.sql"]


def test_dependence_of_yoyo_comes_before_the_name(tmp_path: Path) -> None:
    """`-- depends:` names what must be there."""
    made = folder(tmp_path, **{"a.sql": "-- depends: z\n", "z.sql": ""})

    assert [file.name for file in dialects.ordered(made)] == ["z.sql", "a.sql"]


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"1_a.sql": "", "2_b.py": ""}, "FOLDER: 2_b.py is a migration that is not SQL"),
        ({"1_a.sql": "", "2_b.xml": ""}, "FOLDER: 2_b.xml is a migration that is not SQL"),
        ({"1_a.sql": "", "2_b.psql": ""}, "FOLDER: 2_b.psql is a migration that is not SQL"),
        ({"2024_b.rb": ""}, "FOLDER: 2024_b.rb is a migration that is not SQL"),
        ({"1_a.sql": "", "2_b/up.sql": ""}, "FOLDER: 2_b/up.sql is a migration in a folder of its own"),
        (
            {"a.sql": "", "../sqitch.plan": "%project=x\n\na 2024-01-01T00:00:00Z A <a@b.c> # x\n"},
            "FOLDER holds changes of Sqitch",
        ),
        ({"1_a.sql": "", "2_b.sql.j2": ""}, "FOLDER: 2_b.sql.j2 is a migration that is not SQL"),
        ({"V1__a.sql": "", "v2__b.sql": ""}, "v2__b.sql: Flyway would skip this migration, "),
        ({"V1__a.sql": "", "afterEachMigrate.sql": ""}, "afterEachMigrate.sql: testbay does not run this callback of "),
        ({"a.sql": "-- depends: b", "b.sql": "-- depends: a"}, "migrations depend on each other: "),
    ],
)
def test_folder_that_sql_alone_cannot_apply_is_refused(tmp_path: Path, files: dict[str, str], what: str) -> None:
    """A green run on half a schema would be false."""
    with pytest.raises(MigrationError) as refused:
        dialects.ordered(folder(tmp_path, **files))

    assert refused.value.what.startswith(what.replace("FOLDER", str(tmp_path / "migrations")))


@pytest.mark.parametrize(
    ("file", "tool"),
    [
        ("env.py", "alembic upgrade head"),
        ("0001_initial.py", "python manage.py migrate"),
        ("one/up.sql", "diesel migration run"),
        ("one/migration.sql", "prisma migrate deploy"),
        ("deploy/one.sql", "sqitch deploy db:{postgres.url}"),
    ],
)
def test_folder_of_another_tool_is_recognised(tmp_path: Path, file: str, tool: str) -> None:
    """The advice is the command that applies it."""
    with pytest.raises(MigrationError) as refused:
        dialects.ordered(folder(tmp_path, file))

    assert refused.value.todo == f'let its own tool do it: migrate = "{tool}"'


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- migrate:up", "-- migrate:down"),
        ("-- migrate:up transaction:false", "-- migrate:down"),
        ("-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up", "-- +migrate Down"),
        ("-- +micrate Up", "-- +micrate Down"),
        ("-- up", "-- down"),
        ("--UP", "--DOWN"),
    ],
)
def test_way_up_alone_is_taken_from_a_file_with_both(tmp_path: Path, up: str, down: str) -> None:
    """The lines keep their numbers, as psql names them."""
    file = folder(tmp_path, **{"1.sql": f"{up}\nCREATE TABLE a ();\n{down}\nDROP TABLE a;\n"}) / "1.sql"

    part = dialects.upward(file)

    assert (part.text, part.cut_at) == (f"{up}\nCREATE TABLE a ();\n\n\n", 3)


def test_way_down_may_come_first(tmp_path: Path) -> None:
    """Markers say which is which, not the order."""
    file = folder(tmp_path, **{"1.sql": "-- migrate:down\nDROP\n-- migrate:up\nCREATE\n"}) / "1.sql"

    assert dialects.upward(file).text == "\n\n-- migrate:up\nCREATE\n"


def test_parts_of_atlas_are_told_by_their_names(tmp_path: Path) -> None:
    """Its checks and its way down are files of an archive in one file; elsewhere such a line is a comment."""
    parts = "-- checks.sql --\nSELECT\n-- migration.sql --\nCREATE\n-- down.sql --\nDROP\n"
    made = folder(tmp_path, **{"1.sql": f"-- atlas:txtar\n\n{parts}", "2.sql": parts})

    assert dialects.upward(made / "1.sql").text == "-- atlas:txtar\n\n\n\n-- migration.sql --\nCREATE\n\n\n"
    assert dialects.upward(made / "2.sql").text == parts


def test_comments_that_psql_does_not_know_are_left_blank(tmp_path: Path) -> None:
    """Those of Play begin with a hash."""
    text = "# Users\n\n# --- !Ups\nCREATE\n# --- !Downs\nDROP\n"

    part = dialects.upward(folder(tmp_path, **{"1.sql": text}) / "1.sql")

    assert (part.text, part.cut_at) == ("\n\n\nCREATE\n\n\n", 5)


def test_migrations_of_graphile_are_not_passed_over(tmp_path: Path) -> None:
    """Its `current.sql` beside them was not committed."""
    (tmp_path / "committed").mkdir()
    (tmp_path / "current.sql").touch()

    with pytest.raises(MigrationError, match="has its migrations in committed/, as graphile-migrate keeps them"):
        dialects.ordered(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; -- going down\n",
        "-- Down the road we may drop it\nSELECT 1;\n",
        "-- up to here it was ours, and down there theirs\nSELECT 1;\n",
    ],
)
def test_ordinary_comment_is_not_a_marker(tmp_path: Path, text: str) -> None:
    """Sentences are not cut."""
    file = folder(tmp_path, **{"1.sql": text}) / "1.sql"

    assert dialects.upward(file) == dialects.Upward(text=text, cut_at=0, one_transaction=False)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("1.sql", "SELECT 1;\n-- down\nSELECT 2;\n", "migration 1.sql: line 2 seems to begin a way down, and no line"),
        ("1.sql", "INSERT INTO {{.schema}}.a\n", "migration 1.sql has a template's `{{…}}`, which psql does not know"),
        ("1.sql", "-- +goose ENVSUB ON\n", "migration 1.sql has goose's ENVSUB, which psql does not know"),
        ("1.sql", "# --- !Ups\nA;;B;\n# --- !Downs\n", "migration 1.sql has Play's `;;`, which psql does not know"),
        ("V1__a.sql", "SELECT '${schema}'", "migration V1__a.sql has the placeholder ${schema} of Flyway, which psql"),
    ],
)
def test_text_that_only_its_tool_understands_is_refused(tmp_path: Path, name: str, text: str, what: str) -> None:
    """Better no run than one on another schema."""
    with pytest.raises(MigrationError) as refused:
        dialects.upward(folder(tmp_path, **{name: text}) / name)

    assert refused.value.what.startswith(what)


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- [up]", "-- [down]"),
        ("/* +goose Up */", "/*\n * +goose Down\n */"),
        ("-- name: up", "-- name: down"),
        ("-- Upgrade", "-- Downgrade"),
        ("-- Up", "-- Down (to take it back)"),
        ("", "-- To roll back:"),
        ("", "--rollback"),
    ],
)
@pytest.mark.parametrize(
    ("makes", "takes"),
    [
        ("CREATE TABLE a (b int);", 'BEGIN;\nDROP TABLE IF EXISTS public."a";'),
        ("ALTER TABLE c ADD COLUMN a int;", "ALTER TABLE c DROP COLUMN a;"),
        ("CREATE INDEX a ON c (d);", "DROP INDEX CONCURRENTLY a"),
    ],
)
def test_way_down_behind_a_strange_marker_is_not_applied(
    tmp_path: Path, up: str, down: str, makes: str, takes: str
) -> None:
    """It is known by what it does: what the file made is gone at its end."""
    file = folder(tmp_path, **{"1.sql": f"{up}\n{makes}\n{down}\n{takes}\n"}) / "1.sql"

    with pytest.raises(MigrationError, match=r"migration 1\.sql: line 3 seems to begin a way down"):
        dialects.upward(file)


@pytest.mark.parametrize("comment", ["-- uninstall", "-- ↓", "-- runter", "-- drop"])
def test_a_file_that_takes_all_away_again_is_refused_whatever_its_comment_says(tmp_path: Path, comment: str) -> None:
    """It would come to nothing, and be called applied."""
    made = 'CREATE TABLE IF NOT EXISTS app.a (b int);\nCREATE INDEX i ON app.a (b);\nCREATE TYPE "Kind" AS ENUM ();\n'
    text = f'{made}{comment}\nDROP TYPE "Kind";\nDROP TABLE app.a;\n'

    with pytest.raises(MigrationError, match=r"migration 1\.sql: line 4 seems to begin a way down: it takes Kind away"):
        dialects.upward(folder(tmp_path, **{"1.sql": text}) / "1.sql")


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE IF EXISTS a;\n-- anew\nCREATE TABLE a ();\n",
        "CREATE TABLE a ();\nINSERT INTO b SELECT 1;\n-- it has served\nDROP TABLE a;\n",
        "CREATE TABLE a ();\nCREATE TABLE b ();\n-- not in use\nDROP TABLE a;\n",
        "DROP VIEW IF EXISTS v;\nCREATE VIEW v AS SELECT 1;\n-- no longer in use\nDROP TABLE old;\n",
        "CREATE TABLE a ();\n-- both have served\nDROP TABLE a;\nDROP TABLE old;\n",
        "CREATE TABLE a ();\nCREATE INDEX i ON b (c);\n-- it has served\nDROP TABLE a;\n",
        "CREATE TABLE a ();\nCREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';\n-- x\nDROP TABLE a;\n",
        "CREATE TABLE a ();\nWITH x AS (SELECT 1) INSERT INTO b TABLE x;\n-- it has served\nDROP TABLE a;\n",
        "CREATE TABLE a ();\nGRANT SELECT ON b TO PUBLIC;\nTRUNCATE c;\n-- it has served\nDROP TABLE a;\n",
        "CREATE TABLE a ();\n-- rollback the old one\nDROP TABLE b;\n",
        "CREATE TEMP TABLE a ();\n-- it is not needed further down\nDROP TABLE a;\n",
        "CREATE TABLE a ();\n-- Rollback: see below\n-- DROP TABLE a;\n/* DROP TABLE a; */\n",
        "CREATE TABLE a ();\n--\nSELECT down FROM b;\nDROP TABLE a;\n",
        "CREATE TABLE a ();\n/* rollback\nDROP TABLE a;\n*/\n",
        "--liquibase formatted sql\nCREATE TABLE a ();\n--rollback DROP TABLE a;\n--changeset b\nDROP TABLE a;\n",
    ],
)
def test_a_file_that_keeps_what_it_made_has_no_way_down(tmp_path: Path, text: str) -> None:
    """Comments, things of other files, and what is only meant for a while."""
    assert dialects.upward(folder(tmp_path, **{"1.sql": text}) / "1.sql").text == text
