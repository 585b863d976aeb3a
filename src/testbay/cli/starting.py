"""The commands that begin a project: `testbay init` and `testbay compose`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli import completion
from testbay.cli.options import argument, option
from testbay.output import Voice

app = typer.Typer()


@app.command()
def init(
    *,
    check: Annotated[bool, typer.Option("--check", help="Run the tests with it at once.")] = False,
    ci: Annotated[
        str, option("CI", "Write a workflow, too: github.", "--ci", complete=completion.one_of("github"))
    ] = "",
) -> None:
    """Write a manifest for the project in this folder, from its own files. Nothing is overwritten.

    Example: testbay init --check
    """
    from testbay.harness.run import command as runs
    from testbay.harness.run.run import Run
    from testbay.init import command as initialising
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import find_project

    chosen = configuration.load()
    voice, here = Voice(environ=chosen.environ), Path.cwd()
    initialising.execute(here, chosen.environ, voice, ci=ci, runs=check)
    if check:
        run = Run(load_manifest(here), find_project(here), chosen, voice)
        raise typer.Exit(runs.execute(run, []))


@app.command()
def compose(
    files: Annotated[
        list[Path] | None, argument("FILE", "Compose files, later ones over earlier ones; by default the project's.")
    ] = None,
    *,
    needs: Annotated[
        str, option("NAMES", "The dependencies to look for, such as postgres,redis=cache; by default all.", "--needs")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Do not hide passwords.")] = False,
) -> None:
    """Show what testbay reads of a compose file: each server, its values, and what is left out. Nothing is started.

    Example: testbay compose docker-compose.yml --needs postgres,redis
    """
    from testbay.harness import composereading

    chosen = configuration.load()
    asked = composereading.question(files or [], needs, Path.cwd(), chosen)
    voice, aside = Voice(environ=chosen.environ), Voice(sys.stderr, environ=chosen.environ)
    raise typer.Exit(composereading.show(asked, chosen, voice, aside, as_json=as_json, secrets=show_secrets))
