"""The migrations of a project: how it creates its tables."""

import ast
import re
from collections.abc import Collection
from pathlib import Path

from testbay.init import runners
from testbay.init.project import ASIDE, PASSED_OVER, SHOWN, Finding, Project, Source
from testbay.init.syntax import last, text_of

_SQL_FOLDERS = (
    *("migrations", "db/migrations", "db/migration", "database/migrations", "sql/migrations", "supabase/migrations"),
    *("sql/schema", "db/schema", "sql", "schema"),
)
_NUMBERED = re.compile(r"[Vv]?\d+.*\.sql")
_OTHERS = re.compile(  # folders of other databases, and of SQL that makes no tables of the program
    r"clickhouse|mysql|mariadb|sqlite3?|mssql|oracle|duckdb|snowflake|bigquery|tests?|testing|e2e|fixtures|seeds?|samples"
    r"|demo|bench|benchmark|queries|reports|analytics|warehouse|etl|dbt|rollbacks?|down|archive|backups?|dumps?"
)
_ALONE = (".", "db", "database")  # folders of which one file of SQL, if it is a schema, is all there is
_SCHEMA = re.compile(r"(schema|structure|init|tables|create_?tables|database)\.sql", re.IGNORECASE)
_TARGETS = ("migrate", "db-migrate", "migrations", "migrate-up", "db-upgrade", "upgrade", "migration")
_PICCOLO = "piccolo migrations forwards all"
_LOGIN = "$POSTGRES_USER:$POSTGRES_PASSWORD@$POSTGRES_HOST:$POSTGRES_PORT/$POSTGRES_DB"
_GAP = re.compile(r"%\(\w+\)s|\{\{|[\s(=,](?:%s|\$\d|:[a-z]\w*)(?=[\s,);]|$)")
_QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$|'[^']*'|--[^\n]*", re.DOTALL)
_MAKES_TABLES = re.compile(
    r"(?P<variables>(?:[A-Z]\w*=[\w./:-]+ +)*)(?:(?:uv|poetry|pdm|pipenv|hatch) run +)?(?P<command>"
    r"(?:python3? -m )?(?:alembic|flask|aerich|procrastinate)(?: [\w./:=-]+)*"
    r" (?:upgrade(?: heads?)?|schema --apply|init-?db)"
    r"|python3? (?:-m )?[\w./-]*\b"
    r"(?:(?:init|create|setup|migrate|prepare)_?(?:db|database|tables|schema)|db_init|db_setup|migrate)(?:\.py)?)"
)
_NOT_OURS = re.compile(r"docker|podman|kubectl|heroku|ssh |revision|makemigrations|autogenerate|localhost|127\.0\.0\.1")

_READS = re.compile(r"\.read(_text|_bytes|lines)?\(")
_MAKERS = ("create_all", "create_tables", "generate_schemas")  # of SQLAlchemy, Peewee and Piccolo, Tortoise
_CREATES = re.compile(r"(?i)\bcreate\s+table\s+(?:if\s+not\s+exists\s+)?\S+\s*\(")
_MAKES_ANY = re.compile(rf"{'|'.join(_MAKERS)}|(?i:create\s+table)")
_MAKES = re.compile(r"(?i)\bcreate\s+table\s+(?!if\s+not\s+exists)")


def migrations(project: Project, scripts: Collection[Path] = ()) -> Finding | None:
    """Find the key `migrate` or `migrations`; None without migrations. The server itself runs `scripts` already."""
    said = _said(project)
    if (project.root / "alembic.ini").is_file():
        is_told = said and "alembic" in said.value and said.value != '"alembic upgrade head"'  # -x tenant=public
        return said if is_told else _command(f"{_alembic(project)} upgrade head", "alembic.ini")
    if project.table("tool", "alembic"):
        return _command("alembic upgrade head", "pyproject.toml: tool.alembic")
    if project.has("flask-migrate") and (project.root / "migrations/env.py").is_file():
        return _command("flask db upgrade", "migrations/env.py, Flask-Migrate")
    if project.manage:
        return _command(f"python {project.manage} migrate --noinput", project.manage)
    return _target(project) or _alembic_below(project) or _tool(project) or said or _sql(project, scripts)


def maker(project: Project) -> str:
    """Find the first place in the program or its tests that makes tables by itself; empty if none does."""
    for source in project.sources:
        is_shown = source.path.parts[0] not in ASIDE and _MAKES_ANY.search(source.text)
        for node in source.of(ast.Call, ast.Constant) if is_shown else ():
            name = last(node.func) if isinstance(node, ast.Call) else ""
            if name in _MAKERS or (isinstance(node, ast.Constant) and _CREATES.search(text_of(node))):
                return source.at(node)
    return ""


def _said(project: Project) -> Finding | None:
    """Find the command that makes the tables in CI, which begins with an empty server, else in the Makefile."""
    recipes = [("Makefile", line.lstrip("@-\t ")) for line in project.text("Makefile").splitlines() if line[:1] == "\t"]
    for file, line in (*runners.commands(project), *recipes):
        if match := _MAKES_TABLES.fullmatch(line.strip()):
            return _command(match["variables"] + match["command"], file)
    return None


def _alembic(project: Project) -> str:
    """Return how to call Alembic: as a module if its env.py imports from the project's folder."""
    said = re.search(r"(?m)^prepend_sys_path[ \t]*=[ \t]*\S", project.text("alembic.ini"))
    scripts = [source for source in project.sources if source.path.name == "env.py"]
    packages = {source.path.parts[0].removesuffix(".py") for source in project.code}
    imported = {name for source in scripts for name in source.imports}
    return "alembic" if said or not imported & packages else "python -m alembic"


def _command(line: str, source: str) -> Finding:
    return Finding(key="migrate", value=f'"{line}"', source=source)


def _target(project: Project) -> Finding | None:
    """Find a target of the Makefile that needs nothing but a database, with an address from the environment."""
    text = project.text("Makefile") or project.text("makefile")
    fixed = re.findall(r"(?m)^\s*(?:export\s+)?(\w+)\s*:{0,2}=\s*\S*://", text)  # such a line wins over the environment
    for name in _TARGETS:
        match = re.search(rf"(?m)^{name}\s*:(?!=)([^\n]*)\n((?:\t[^\n]*(?:\n|$))+)", text)
        if match and not match[1].partition("#")[0].strip() and not _NOT_OURS.search(match[2]) and not fixed:
            return _command(f"make {name}", f"Makefile: {name}")
    return None


def _alembic_below(project: Project) -> Finding | None:
    """Find an alembic.ini in a folder; its script_location is relative to that folder or to the project."""
    for path in project.below("alembic.ini"):
        location = project.ini(str(path)).get("alembic", "script_location", fallback="")
        if location and not location.startswith("%") and (project.root / path.parent / location).is_dir():
            return _command(f"cd {path.parent} && alembic upgrade head", str(path))
        if location:
            return _command(f"alembic -c {path} upgrade head", str(path))
    return None


def _tool(project: Project) -> Finding | None:
    """The command of aerich, Piccolo or yoyo, which keep migrations as Python, or of Sqitch, which has an order."""
    if project.text("sqitch.plan"):
        return _command(f"sqitch deploy db:pg://{_LOGIN}", "sqitch.plan")
    if project.table("tool", "aerich"):
        return _command("aerich upgrade", "pyproject.toml: tool.aerich")
    if project.has("piccolo") and project.text("piccolo_conf.py"):
        return _command(_PICCOLO, "piccolo_conf.py")
    for path in project.below("piccolo_conf.py") if project.has("piccolo") else ():
        return _command(f"PICCOLO_CONF={'.'.join(path.with_suffix('').parts)} {_PICCOLO}", str(path))
    steps = [source.path.parent for source in project.sources if "yoyo" in source.imports]
    said = re.search(r"(?m)^sources\s*=\s*([\w./-]+)\s*$", project.text("yoyo.ini"))
    folder = said[1] if said else next((str(path) for path in steps if re.fullmatch(r"[\w./-]+", str(path))), "")
    if not folder or not project.has("yoyo-migrations"):
        return None
    driver = "" if project.has("psycopg2", "psycopg2-binary") else "+psycopg"  # yoyo takes psycopg2 unless told
    return _command(f"yoyo apply --batch --database postgresql{driver}://{_LOGIN} {folder}", f"{folder}, yoyo")


def _sql(project: Project, scripts: Collection[Path]) -> Finding | None:
    packages = (source.path.parent for source in project.code if source.path.name == "__init__.py")
    inside = [package / name for package in packages for name in ("migrations", "sql")]
    inside = [folder for folder in inside if any((project.root / folder).glob("*.sql"))]
    elsewhere = [folder for folder in _elsewhere(project) if folder not in inside]
    # Of several, none is the whole.
    folders = [*map(Path, _SQL_FOLDERS), *(one for found in (inside, elsewhere) if len(found) == 1 for one in found)]
    for folder in [*folders, *map(Path, _ALONE)]:
        whole = (project.root / folder).absolute()
        files = [folder / file.name for file in sorted(whole.glob("*.sql"))]
        if not files or {whole, whole / files[0].name} & {*scripts} or _has_templates(project, files):
            continue
        if _applied_by(project, files):
            return None
        if folder in folders or (len(files) == 1 and _is_schema(project, files[0])):
            more = " …" if len(files) > 1 or folder in folders else ""
            return Finding(key="migrations", value=f'"{folder.as_posix()}"', source=f"{files[0]}{more}")
    return None


def _elsewhere(project: Project) -> list[Path]:
    """List the folders, two or three levels deep, with nothing but numbered files or one schema, which make tables."""
    paths = [path for depth in ("*/*/", "*/*/*/") for path in project.root.glob(f"{depth}*.sql")]
    folders: dict[Path, list[Path]] = {}
    for file in sorted(path.relative_to(project.root) for path in paths):
        is_aside = bool((PASSED_OVER | SHOWN) & {*file.parts})
        if not is_aside and not any(_OTHERS.fullmatch(part.lower()) or part.startswith(".") for part in file.parts):
            folders.setdefault(file.parent, []).append(file)
    return [
        folder
        for folder, files in folders.items()
        if all(_NUMBERED.fullmatch(file.name) for file in files)
        or (len(files) == 1 and _SCHEMA.fullmatch(files[0].name))
        if any(_CREATES.search(project.text(str(file))) for file in files)
    ]


def _is_schema(project: Project, file: Path) -> bool:
    """Return whether a file makes the tables: by its name, or in a folder of the database's by what it says."""
    makes = file.parent != Path() and re.search(r"(?i)\bcreate\s+table\b", project.text(str(file)))
    return bool(_SCHEMA.fullmatch(file.name) or makes)


def _has_templates(project: Project, files: list[Path]) -> bool:
    """Return whether a file holds a query with placeholders, which psql would refuse."""
    return any(_GAP.search(_QUOTED.sub("''", project.text(str(file)))) for file in files)


def _applied_by(project: Project, files: list[Path]) -> str:
    """Return the source that applies these files when the program or its tests start: applied before, they would fail.

    Empty if none does, or if they may be applied twice.
    """
    if not any(_MAKES.search(project.text(str(file))) for file in files):
        return ""
    names = {files[0].name, files[0].parent.name} - {""}
    for source in project.sources:
        if source.path.parts[0] not in ASIDE and ".sql" in source.text and _READS.search(source.text):
            functions = [one for one in source.functions if "execute" in ast.unparse(one)]
            known = {text for node in source.of(ast.Constant) for text in str(node.value).split("/")}
            if functions and names & known and any(_runs(project, source, one.name) for one in functions):
                return str(source.path)
    return ""


def _runs(project: Project, source: Source, name: str) -> bool:
    """Return whether a function runs with the tests: it is theirs, or another module imports it."""
    others = (one for one in project.sources if one is not source and one.path.parts[0] not in ASIDE)
    return source.is_test or any(re.search(rf"\bimport\b.*\b{name}\b|\.{name}\(", one.text) for one in others)
