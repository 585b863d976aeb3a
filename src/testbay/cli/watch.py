"""`testbay watch`: the checks of the phase `scheduled`, asked around the clock."""

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli.options import argument, option
from testbay.errors import ManifestError
from testbay.output import Voice

app = typer.Typer()

Folder = Annotated[Path, option("FOLDER", "Where the history is kept.", "--history")]
_FOLDER = Path(".testbay/watch")


def user_name() -> str:
    """Name the user; by number where the system has no name for it, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # which of them depends on the version of Python
        return f"user {os.geteuid()}"


@app.command()
def watch(
    services: Annotated[
        list[str] | None, argument("SERVICE", "The services to watch; by default all with checks.")
    ] = None,
    *,
    listen: Annotated[str | None, option("HOST:PORT", "Serve the live page there, e.g. 127.0.0.1:8090.")] = None,
    target: Annotated[str | None, option("TARGET", "Only this deployment.")] = None,
    folder: Folder = _FOLDER,
    lasting: Annotated[str | None, option("1h", "End after this long.", "--for")] = None,
) -> None:
    """Run the checks of the phase scheduled around the clock, keep their history, tell people, and serve a live page.

    Example: testbay watch --listen 127.0.0.1:8090
    """
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import find_project, find_service, service_folders
    from testbay.production.watch import command as watching

    chosen = configuration.load()
    here = Path.cwd()
    project = find_project(here)
    if services:
        manifests = [find_service(name, project) for name in dict.fromkeys(services)]
    else:
        manifests = [one for one in map(load_manifest, service_folders(project).values()) if one.check]
    options = watching.WatchOptions(
        manifests=manifests,
        settings=chosen,
        folder=folder if folder.is_absolute() else project / folder,
        listen=listen,
        target=target,
        for_s=configuration.duration(lasting, "--for") if lasting else None,
    )
    raise typer.Exit(watching.execute(options, Voice(environ=chosen.environ)))


@app.command()
def note(
    text: Annotated[str, argument("TEXT", "What to add.")],
    *,
    incident: Annotated[int | None, option("N", "The number of the incident; the newest if left out.")] = None,
    by: Annotated[str | None, option("NAME", "Who says it; your user name if left out.")] = None,
    folder: Folder = _FOLDER,
) -> None:
    """Add a line to an incident's time line on the live page.

    Example: testbay note "the database is being restored"
    """
    from testbay.manifest.project import find_project
    from testbay.production.watch import notes
    from testbay.text import one_line

    if not text.strip():
        raise ManifestError("the note is empty", todo="say what happened; is a variable not set?")
    chosen = configuration.load()
    author = by or user_name()
    where = folder if folder.is_absolute() else find_project(Path.cwd()) / folder
    known = notes.add_note(where, incident, one_line(text, 1000), one_line(author, 80))
    Voice(environ=chosen.environ).say(f"added to incident {known.id}: {one_line(known.said)}")
