"""The migrations that a database has: as entries of a stack's record, and in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

MIGRATIONS, OF_LEASES = "migrations", "migrations of leases"  # in a stack's record: of its database, of its copy


class AppliedFile(NamedTuple):
    """A migration in a stack's record that was applied; `lacks` says why not all of it is in the database."""

    name: str
    digest: str
    lacks: str = ""


def entries(record: Mapping[str, Any], noted: str = MIGRATIONS) -> list[AppliedFile]:
    """The applied migrations in a stack's record."""
    return [AppliedFile(*entry) for entry in record.get(noted, [])]


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """The migrations of a database; `lacks` say why that is not all, `nothing` that a command changed nothing."""

    names: Sequence[str] = ()
    lacks: Sequence[str] = ()
    nothing: str = ""

    @classmethod
    def of(cls, entries: Iterable[AppliedFile]) -> Self:
        known = list(entries)
        return cls(names=[one.name for one in known], lacks=[f"{one.name}: {one.lacks}" for one in known if one.lacks])

    @property
    def lines(self) -> list[str]:
        """The lines of a run's record."""
        return [*self.names, *(f"but {why}" for why in self.lacks), *filter(None, [self.nothing])]

    def __str__(self) -> str:
        if self.lacks:
            return f"Applied, but {self.lacks[0]}"
        return self.nothing or ("Applied successfully" if self.names else "none in the manifest")
