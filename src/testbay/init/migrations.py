"""How a project's database gets its tables."""

from collections.abc import Collection
from pathlib import Path

from testbay.init.project import Finding, Project

_SQL_FOLDERS = ("migrations", "db/migrations", "database/migrations", "sql/migrations", "db/schema", "sql", "schema")


def migrations(project: Project, scripts: Collection[Path] = ()) -> Finding | None:
    """The command or the folder; None when no file speaks of one. The server itself runs the `scripts` already."""
    if (project.root / "alembic.ini").is_file():
        return Finding(key="migrate", value='"alembic upgrade head"', source="alembic.ini")
    if project.has("flask-migrate") and (project.root / "migrations/env.py").is_file():
        return Finding(key="migrate", value='"flask db upgrade"', source="migrations/env.py, Flask-Migrate")
    if "django" in project.text("manage.py"):
        return Finding(key="migrate", value='"python manage.py migrate --noinput"', source="manage.py")
    packages = (source.path.parent for source in project.code if source.path.name == "__init__.py")
    folders = [*map(Path, _SQL_FOLDERS), *(package / name for package in packages for name in ("migrations", "sql"))]
    for folder in folders:
        whole = (project.root / folder).absolute()
        if (files := sorted(whole.glob("*.sql"))) and whole not in scripts and files[0] not in scripts:
            return Finding(key="migrations", value=f'"{folder.as_posix()}"', source=f"{folder / files[0].name} …")
    return None
