"""`testbay init`: read the project, write the missing files, print what was found and what was not."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from testbay.errors import ManifestError
from testbay.init import installed, installing, itself, manifest, servers, testing, workflow
from testbay.init.project import Project, listed
from testbay.manifest.files import manifest_file
from testbay.manifest.load import load_manifest
from testbay.manifest.project import compose_files, find_project, is_place_for_a_manifest
from testbay.output import Voice


def execute(root: Path, environ: Mapping[str, str], voice: Voice, *, ci: str = "", runs: bool = False) -> None:
    """Write a manifest and the files it needs: a compose file, a first test, a workflow. Nothing is overwritten.

    With `runs` the caller runs the tests next, and the advice to do so is left out.

    Raises:
        ManifestError: The CI is unknown, or the folder has a manifest and nothing else was asked for.
    """
    if ci not in ("", *workflow.KNOWN):
        raise ManifestError(f"--ci: unknown {ci!r}", todo=f"use one of: {', '.join(workflow.KNOWN)}")
    existing = manifest_file(root)
    if existing and not ci:
        raise ManifestError(
            f"{existing} is there already: nothing was written",
            why="`testbay init` overwrites nothing",
            todo="`testbay run` uses it; to change it, see `testbay explain reference/manifest`; or remove it first",
        )
    project = Project(root=root)
    if existing is None:
        _start(project, environ, voice)
    if ci:
        write(workflow.file(project), workflow.text(project), voice)
        _say_what_ci_lacks(project, environ, voice)
        if not itself.requirement():
            voice.say(f"not found: {itself.NAMED if installing.names_testbay(project) else itself.ADVICE}")
    if existing is None and not runs:
        voice.say("next: testbay run")


def _say_what_ci_lacks(project: Project, environ: Mapping[str, str], voice: Voice) -> None:
    with suppress(ManifestError):  # which `testbay run` tells
        made = load_manifest(project.root)
        files = compose_files(made, find_project(project.root), environ)
        if made.needs and (names := workflow.left_at_home(files)):
            voice.say(
                f"not found in the repository: .env, from which {files[0].name} takes {', '.join(names)}: give the "
                "workflow's step `testbay run` a value for each under `env:`"
            )


def _start(project: Project, environ: Mapping[str, str], voice: Voice) -> None:
    if project.root == project.root.parent:
        raise ManifestError(
            f"{project.root}: the root of the file system is not a project: nothing was written",
            why="its Python files are those of the whole machine",
            todo="run it in the project's folder, where its pyproject.toml or requirements.txt is",
        )
    if inner := project.only_inner:
        raise ManifestError(
            f"{project.root}: the program is in {listed(inner)}: nothing was written",
            why="this folder has no Python file outside of those, and no package of its own",
            todo=f"cd {inner[0].rstrip('/')} && testbay init; so in each (a compose file here serves all)",
        )
    made = manifest.draft(project, environ)
    if not (made.servers.needs or project.packages or project.sources):
        raise ManifestError(
            f"{project.root}: there is no program here: nothing was written",
            why="the folder has no Python file, and no file names a package or a server",
            todo="run it in the project's folder, where its pyproject.toml or requirements.txt is",
        )
    if not made.servers.missing:  # a compose file of its own makes the folder a project
        _refuse_a_hidden_place(project.root)
    voice.say(f"{manifest.FILE}: from this project's own files")
    for line in made.text.splitlines()[1:]:
        voice.detail(line)
    for text in made.missing:
        voice.say(f"not found: {text}")
    write(project.root / manifest.FILE, made.text, voice)
    if made.servers.missing:
        write(project.root / made.servers.own, servers.compose_text(made.servers, made.logins), voice)
    if made.needs_test:
        write(project.root / testing.FIRST_TEST, testing.first_test(list(made.servers.needs)), voice)
    load_manifest(project.root)  # what was written is read as `testbay run` reads it
    for text in installed.findings(project, environ, made.servers.needs if made.needs_test else ()):
        voice.say(text)


def _refuse_a_hidden_place(folder: Path) -> None:
    try:
        top = find_project(folder)
    except ManifestError:  # the manifest makes it one
        return
    if not is_place_for_a_manifest(folder, top):
        raise ManifestError(
            f"{folder}: a manifest here would not be found: nothing was written",
            why=f"the project begins at {top}: its services are there, in services/ or at most two folders below, and "
            "are called neither tests nor build",
            todo=f"cd {top} && testbay init",
        )


def write(file: Path, text: str, voice: Voice) -> None:
    """Write a file unless it exists.

    Raises:
        ManifestError: The file cannot be written.
    """
    try:
        if file.exists():
            voice.say(f"kept:  {file} (it exists)")
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        _make(file, text)
    except OSError as error:
        todo = "see ls -ld on its folder, and df -h"
        raise ManifestError(f"{file} cannot be written", why=str(error.strerror), todo=todo) from None
    voice.say(f"wrote: {file}")


def _make(file: Path, text: str) -> None:
    """Write a new file; a part of it, as on a full disk, would be kept by the next call as a file that was there."""
    made = file.open("x", encoding="utf-8")
    try:
        with made:
            made.write(text)
    except OSError:
        file.unlink()
        raise
