import pytest

from testbay.harness.stack.migrations.migrated import AppliedFile, Migrated, entries


@pytest.mark.parametrize(
    ("found", "said", "lines"),
    [
        (Migrated(), "none in the manifest", []),
        (Migrated.of([AppliedFile("1.sql", "d")]), "Applied successfully", ["1.sql"]),
        (
            Migrated.of([AppliedFile("1.sql", "d", "a"), AppliedFile("2.sql", "d", "b")]),
            "Applied, but 1.sql: a",
            ["1.sql", "2.sql", "but 1.sql: a", "but 2.sql: b"],
        ),
        (Migrated(names=["make"], nothing="it made nothing"), "it made nothing", ["make", "it made nothing"]),
    ],
)
def test_what_a_database_has_is_said_and_recorded(found: Migrated, said: str, lines: list[str]) -> None:
    """In one closing line, and in the record of the run."""
    assert (str(found), found.lines) == (said, lines)


def test_entries_of_a_record_may_lack_the_third_part() -> None:
    """As those of an older testbay do where nothing is missing; a new stack has no entry at all."""
    assert entries({"migrations": [["1.sql", "d"], ["2.sql", "d", "why"]]}) == [
        AppliedFile("1.sql", "d"),
        AppliedFile("2.sql", "d", "why"),
    ]
    assert entries({}) == []
