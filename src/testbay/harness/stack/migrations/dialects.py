"""SQL migrations written for other tools: which files lead up, in which order, and which part of each.

dbmate, goose, sql-migrate and the like keep both directions in one file between marker comments; Flyway,
golang-migrate, yoyo and postgrator have one file per direction. What none of these rules can read is refused rather
than applied wrongly.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from testbay.errors import MigrationError
from testbay.harness.stack.migrations import undoing

_COMMENT = r"\s*(?:--+|#+)[\s/@!+=*#-]*"
_TOOL = r"(?:(?P<tool>migrate|migration|goose|micrate|rambler|dbmate)[\s:]+)?"
_MARKER = re.compile(
    rf"{_COMMENT}{_TOOL}(?P<way>up|ups|down|downs|undo|rollback)(?:\s+migration)?"
    r"(?P<options>(?:\s+[\w:]+)*)[\s=*#:-]*",
    re.IGNORECASE,
)
_TERN = re.compile(r"----\s*create above / drop below\s*----")
_MYBATIS = re.compile(r"--\s*//\s*@UNDO\s*", re.IGNORECASE)
_TXTAR = re.compile(r"--\s*(?P<name>[\w./-]+\.sql)\s*--")  # the parts of a file that begins with `-- atlas:txtar`
_OPTIONS = re.compile(r"(?:\s+(?:transaction:(?:true|false)|notransaction))*", re.IGNORECASE)
_NO_TRANSACTION = re.compile(
    r"(?im)^\s*--\s*(?:\+goose\s+NO\s+TRANSACTION|transactional:\s*false|migrate:up.*transaction:false"
    r"|\+migrate\s+up.*notransaction)\b"
)
# Constructs that only the tool itself evaluates, not psql.
_UNREADABLE = {
    "goose's ENVSUB": re.compile(r"(?im)^\s*--\s*\+goose\s+ENVSUB\s+ON\b"),
    "Play's `;;`": re.compile(r"(?s)^(?:#[^\n]*\n|\s)*#\s*-+\s*!Ups\b.*;;"),
    "a context, label, delimiter or precondition of Liquibase": re.compile(
        r"(?im)^\s*--\s*(?:changeset\b.*\b(?:context(?:filter)?|labels|dbms|enddelimiter):|preconditions?\b)"
    ),
    "a template's `{{…}}`": re.compile(r"\{\{-?\s*(?:\.\w|(?:template|if|range|env)\s)"),
}
_FLYWAY_PLACEHOLDER = re.compile(r"\$\{[\w.:]+\}")
_FLYWAY = re.compile(r"(?P<kind>[VBUR])(?P<version>\d+(?:[._]\d+)*)?__.*\.sql")
_FLYWAY_CALLBACK = re.compile(r"(before|after)[A-Z]\w*?(?:__.*)?\.sql")
_BACK = re.compile(r"[._-](?:down|undo|rollback|rb|revert|reverse|backwards?|drop)(?:\.sql)?\.sql$", re.IGNORECASE)
_BACK_FIRST = re.compile(r"(?:down|downgrade|undo|rollback|revert|reverse|backwards?)[._-]", re.IGNORECASE)
_FORTH = ("up", "do", "forward", "forwards", "apply", "upgrade")
_DOTTED_BACK = re.compile(r"\.(?:down|undo|rollback|revert|reverse)\.sql$|^\d+\.undo\.", re.IGNORECASE)
_CODE = re.compile(
    r"(?:\d|V\d+__).*\.(?:py|go|js|ts|rb|rs|sh|java|kt|php|exs?|cs|xml|ya?ml|psql|pgsql|ddl|sql\.(?:gz|bz2|xz|zst|tmpl|tpl|j2|in))"
)
_OTHER_NAMES = re.compile(r"[^.].*\.(?:psql|pgsql|ddl|sql\.(?:gz|bz2|xz|zst))")
_SQITCH = "sqitch deploy db:{postgres.url}"
_OTHER_FOLDERS = re.compile(r"\..*|downs?|undo|rollbacks?|reverts?|verify|archived?|tests?", re.IGNORECASE)
_IN_FOLDERS = ("up.sql", "migration.sql")  # a migration that is a folder, as Diesel and Prisma have them
_INCLUDED = re.compile(r"(?m)^[ \t]*\\(?:i|include)(r|_relative)?[ \t]+['\"]?([^\s'\"]+)")
_DEPENDS = re.compile(r"(?im)^\s*--\s*depends:[ \t]*(.*)$")


@dataclass(frozen=True, kw_only=True)
class Upward:
    """The upward part of a migration. Other lines are blank, so that line numbers stay right."""

    text: str
    cut_at: int  # the line where the way down begins; 0 without one
    one_transaction: bool  # as the file's tool applies it


def ordered(folder: Path) -> list[Path]:
    """The migrations of a folder, in the order in which their tool applies them; never a downward one.

    Raises:
        MigrationError: The folder holds no migration, or some that SQL alone does not bring about.
    """
    entries = [*folder.iterdir()] if folder.is_dir() else []
    _refuse_lost(entries)
    files = _sql(entries)
    deep = _sql(folder.rglob("*"))  # Flyway looks into folders too
    if any(_FLYWAY.fullmatch(file.name) for file in files or deep):
        _refuse_code(folder)
        return _as_flyway(deep)
    if (folder / "committed").is_dir():
        raise MigrationError(
            f"{folder} has its migrations in committed/, as graphile-migrate keeps them",
            why="testbay applies the *.sql directly in that folder",
            todo='migrations = "…/committed", or let its own tool do it: migrate = "graphile-migrate migrate"',
        )
    if _sqitch_changes(folder.parent / "sqitch.plan") & {file.stem for file in files}:
        raise MigrationError(
            f"{folder} holds changes of Sqitch",
            why="sqitch.plan beside it has their order, which the names do not tell",
            todo=f'let its own tool do it: migrate = "{_SQITCH}"',
        )
    names = {file.name for file in files}
    files = [file for file in files if not _leads_back(file.name, names)]
    if not files:
        if not (advice := _other_layout(folder)):
            _refuse_code(folder)
            advice = _other_names(left_out(folder, []))
        raise MigrationError(
            f"{folder} holds no migration",
            why="migrations are files named *.sql or *.up.sql directly in that folder",
            todo=advice or "add one (0001_first.sql), or take `migrations` out of the manifest",
        )
    _refuse_code(folder)
    return _by_dependence(sorted(files, key=_place))


def _refuse_lost(entries: Iterable[Path]) -> None:
    for file in entries:
        if file.suffix.lower() == ".sql" and file.is_symlink() and not file.exists():
            raise MigrationError(
                f"migration {file.name} is a link to {file.readlink()}, which is not there",
                why="it would be left out",
                todo="make the file, or remove the link",
            )


def left_out(folder: Path, applied: Sequence[Path]) -> list[str]:
    """List SQL that is not applied: in folders below, except those of ways down and hidden ones, and by other names.

    What another file includes is applied with it.
    """
    known = {*applied, *_included(folder, applied)}
    places = [(file, file.relative_to(folder)) for file in _sql(folder.rglob("*")) if file not in known]
    others = sorted(file.name for file in folder.iterdir() if _OTHER_NAMES.fullmatch(file.name) and file.is_file())
    return others + sorted(
        str(place)
        for file, place in places
        if file.parent != folder and not any(_OTHER_FOLDERS.fullmatch(name) for name in place.parts[:-1])
    )


def _included(folder: Path, files: Iterable[Path]) -> set[Path]:
    """Find the files that these include, and those include in turn."""
    found: set[Path] = set()
    waiting = [*files]
    while waiting:
        file = waiting.pop()
        named = _INCLUDED.findall(_text(file))
        places = {Path(os.path.normpath((file.parent if beside else folder) / name)) for beside, name in named}
        new = {place for place in places - found if place.is_file()}
        found |= new
        waiting += new
    return found


def _sqitch_changes(plan: Path) -> set[str]:
    """The names of the changes in a plan of Sqitch: the first word of each line but pragmas, tags and comments."""
    lines = _text(plan).splitlines() if plan.is_file() else []
    return {line.split()[0] for line in lines if line.strip() and line.lstrip()[0] not in "%@#"}


def numbers(file: Path) -> tuple[int, ...]:
    """The leading number of a migration's name, in its parts: 1.10 is (1, 10); (0,) without one."""
    match = re.match(r"[vV]?(\d+(?:\.\d+(?![A-Za-z\d]))*)", file.name)
    return tuple(map(int, match[1].split("."))) if match else (0,)


def _sql(files: Iterable[Path]) -> list[Path]:
    """Choose the SQL files, without hidden ones, which editors and macOS leave."""
    return [file for file in files if file.suffix.lower() == ".sql" and file.name[0] != "." and file.is_file()]


def _place(file: Path) -> tuple[bool, tuple[int, ...], list[str | int], str]:
    """The sort key: the leading number (1.10 after 1.2; 0 without one), else the numbers in the name (m10 after m2).

    yoyo's `post-apply.sql` comes last.
    """
    leading = numbers(file)
    parts = re.split(r"(\d+)", file.name) if leading == (0,) else []
    return file.name == "post-apply.sql", leading, [int(part) if part.isdigit() else part for part in parts], file.name


def _leads_back(name: str, names: set[str]) -> bool:
    """Return whether a file leads down; `scale_down.sql` does so only beside `scale_up.sql` or `scale.sql`.

    So does `down_1.sql` beside `up_1.sql` or `1.sql`; `undo_log_v2.sql` beside `log_v2.sql` does not.
    """
    if _DOTTED_BACK.search(name) or re.match(r"U\d[\d._]*__", name):
        return True
    lower = {other.lower() for other in names}
    if first := _BACK_FIRST.match(name):
        mark, rest = first[0][-1], name[first.end() :].lower()
        beside = {rest} if re.match(r"v?\d", rest) else set()
        return bool({*beside, *(f"{way}{mark}{rest}" for way in _FORTH)} & lower)
    if not (back := _BACK.search(name)):
        return False
    stem, mark = name[: back.start()].lower(), name[back.start()]
    return bool({f"{stem}.sql", *(f"{stem}{mark}{way}.sql" for way in _FORTH)} & lower)


def _other_layout(folder: Path) -> str:
    """Advise on a folder in the layout of another tool."""
    found: dict[str, Iterator[Path] | list[Path]] = {
        "alembic upgrade head": folder.glob("env.py"),
        "python manage.py migrate": folder.glob("[0-9]*_*.py"),
        "diesel migration run": folder.glob("*/up.sql"),
        "prisma migrate deploy": folder.glob("*/migration.sql"),
        _SQITCH: folder.glob("deploy/*.sql"),
    }
    return next((f'let its own tool do it: migrate = "{tool}"' for tool, files in found.items() if any(files)), "")


def _other_names(files: Sequence[str]) -> str:
    """Advise on SQL that is there, but in folders below, or by other names."""
    if below := [name for name in files if "/" in name]:
        return f'name the folder of {below[0]}; of several, let a tool do it: migrate = "…"'
    return f'let a tool apply {files[0]}: migrate = "…" instead of migrations' if files else ""


def _refuse_code(folder: Path) -> None:
    """Refuse migrations that are not files of SQL here: they would not run, and the run would still be green."""
    code = sorted(file.name for file in folder.iterdir() if file.is_file() and _CODE.fullmatch(file.name))
    included = _included(folder, _sql(folder.iterdir()))
    deep = (file for name in _IN_FOLDERS for file in folder.glob(f"[0-9]*/{name}") if file not in included)
    whole = sorted(f"{file.parent.name}/{file.name}" for file in deep)
    if whole:
        raise MigrationError(
            f"{folder}: {whole[0]} is a migration in a folder of its own",
            why=f"testbay applies the *.sql directly in {folder.name}/; {len(whole)} of these would not run",
            todo='let the tool they are written for apply all of them: migrate = "…" instead of migrations',
        )
    if code:
        raise MigrationError(
            f"{folder}: {code[0]} is a migration that is not SQL",
            why=f"testbay applies *.sql through psql; {len(code)} of these would not run: {', '.join(code[:5])}",
            todo='let the tool they are written for apply all of them: migrate = "…" instead of migrations',
        )


def _as_flyway(files: Sequence[Path]) -> list[Path]:
    """Order Flyway's files: versions by number (1.2 before 1.10), then repeatable ones by name; no undo files."""
    before, after = _callbacks(files)
    names = {file: match for file in files if (match := _FLYWAY.fullmatch(file.name))}
    if strange := sorted(file.name for file in files if file not in names and re.match(r"[vV]?\d", file.name)):
        raise MigrationError(
            f"{strange[0]}: Flyway would skip this migration, as its name does not begin as in V1__name.sql",
            why="other files of the folder have names of Flyway's",
            todo="rename it, or move it to another folder",
        )
    repeatable = sorted((file for file, match in names.items() if match["kind"] == "R"), key=lambda file: file.name)
    return [*before, *_versioned(names), *repeatable, *after]


def _callbacks(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files that run before and after all others."""

    def of(event: str) -> list[Path]:
        return [file for file in files if file.name == f"{event}.sql" or file.name.startswith(f"{event}__")]

    before, after = of("beforeMigrate"), of("afterMigrate")
    known = (*before, *after)
    if unknown := [file.name for file in files if _FLYWAY_CALLBACK.fullmatch(file.name) and file not in known]:
        raise MigrationError(
            f"{unknown[0]}: testbay does not run this callback of Flyway",
            why="it runs beforeMigrate and afterMigrate",
            todo='let Flyway do it: migrate = "flyway migrate"',
        )
    return before, after


def _versioned(names: Mapping[Path, re.Match[str]]) -> list[Path]:
    """Order the versions by number; what a baseline already holds is left out."""
    versions = {file: _version(match) for file, match in names.items() if match["version"] and match["kind"] in "VB"}
    bases = [file for file in versions if names[file]["kind"] == "B"]
    rising = sorted((file for file in versions if file not in bases), key=versions.__getitem__)
    if not bases:
        return rising
    base = max(bases, key=versions.__getitem__)
    return [base, *(file for file in rising if versions[file] > versions[base])]


def _version(match: re.Match[str]) -> tuple[int, ...]:
    """`1.10` and `1_10` are both (1, 10); 1.0 is 1."""
    parts = [int(part) for part in re.split(r"[._]", match["version"])]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _by_dependence(files: list[Path]) -> list[Path]:
    """Keep the order, except that files named in yoyo's `-- depends:` come first."""
    by_stem = {file.name.removesuffix(".sql"): file for file in files}
    before = {file: _depends(file) for file in files}
    if not any(before.values()):
        return files
    graph = {file: {by_stem[name] for name in names if name in by_stem} for file, names in before.items()}
    try:
        sorter = TopologicalSorter(graph)
        sorter.prepare()
    except CycleError as error:
        names = " -> ".join(file.name for file in error.args[1])
        raise MigrationError(f"migrations depend on each other: {names}", todo="break the circle") from None
    done: list[Path] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=files.index)
        done += ready
        sorter.done(*ready)
    return done


def _depends(file: Path) -> list[str]:
    found = _DEPENDS.search(_text(file))
    return found[1].split() if found else []


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig", errors="surrogateescape")


def upward(file: Path) -> Upward:
    """Extract the upward part of a migration.

    Raises:
        MigrationError: The text depends on its tool, or it is not clear where the way down begins.
    """
    text = _text(file)
    _refuse_unreadable(file, text)
    lines = text.splitlines(keepends=True)
    marks = list(_marks(lines))
    if not marks:
        _refuse_undone(file, text)
        return Upward(text=text, cut_at=0, one_transaction=False)
    _refuse_unclear(file, marks)
    kept, up, cut_at = [], marks[0].way == "down", 0
    ways = {mark.line: mark.way for mark in marks}
    hashes = lines[marks[0].line - 1].startswith("#")  # `# --- !Ups` is a comment for Play alone
    for place, line in enumerate(lines, 1):
        up = ways[place] == "up" if place in ways else up
        cut_at = cut_at or (0 if up or place not in ways else place)
        is_sql = not (hashes and line.startswith("#")) and (up or place < marks[0].line)
        kept.append(line if is_sql else "\n")
    _refuse_undone(file, "".join(kept))
    return Upward(
        text="".join(kept), cut_at=cut_at, one_transaction=bool(marks[0].tool) and not _NO_TRANSACTION.search(text)
    )


@dataclass(frozen=True, kw_only=True)
class _Mark:
    line: int
    way: str  # up or down
    tool: str  # empty where a bare word marks it
    alone: bool  # its tool has no marker for the way up


def _marks(lines: Sequence[str]) -> Iterator[_Mark]:
    parts = bool(lines) and lines[0].strip() == "-- atlas:txtar"
    for place, line in enumerate(lines, 1):
        if parts and (part := _TXTAR.fullmatch(line.strip())):
            way = "up" if part["name"] == "migration.sql" else "down"
            yield _Mark(line=place, way=way, tool="atlas", alone=False)
        elif _TERN.fullmatch(line.strip()) or _MYBATIS.fullmatch(line.strip()):
            yield _Mark(line=place, way="down", tool="", alone=True)
        elif (found := _MARKER.fullmatch(line.rstrip("\n"))) and _OPTIONS.fullmatch(found["options"]):
            way = "up" if found["way"].lower().startswith("up") else "down"
            yield _Mark(line=place, way=way, tool=(found["tool"] or "").lower(), alone=False)


def _refuse_unreadable(file: Path, text: str) -> None:
    found = [what for what, pattern in _UNREADABLE.items() if pattern.search(text)]
    if _FLYWAY.fullmatch(file.name) and (placeholder := _FLYWAY_PLACEHOLDER.search(text)):
        found.append(f"the placeholder {placeholder[0]} of Flyway")
    if found:
        raise MigrationError(
            f"migration {file.name} has {found[0]}, which psql does not know",
            todo='let its own tool apply it: migrate = "…" instead of migrations',
        )


def _refuse_unclear(file: Path, marks: Sequence[_Mark]) -> None:
    """Refuse a lone `-- down`: it may be a comment, and then what follows should be applied."""
    if any(mark.way == "up" or mark.alone for mark in marks):
        return
    raise MigrationError(
        f"migration {file.name}: line {marks[0].line} seems to begin a way down, and no line begins a way up",
        why="in a file with both ways testbay applies what stands between the markers, as in `-- migrate:up`",
        todo='mark both ways, write the comment differently, or let the tool do it: migrate = "…"',
    )


def _refuse_undone(file: Path, text: str) -> None:
    """Refuse a file that takes back what it made, behind a comment in which its tool or its author marks a way down."""
    if found := undoing.undone(text):
        raise MigrationError(
            f"migration {file.name}: line {found[0]} seems to begin a way down: it takes {found[1]} away again",
            why="no tool that testbay knows marks it in this way, and all of the file would be applied",
            todo='mark both ways as in `-- migrate:up` and `-- migrate:down`, or let the tool do it: migrate = "…"',
        )
