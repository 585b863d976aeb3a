"""`testbay init`: the first command in a project."""

from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.output import Voice


def init(
    *,
    check: Annotated[bool, typer.Option("--check", help="Run the tests with it at once.")] = False,
    ci: Annotated[
        str, typer.Option("--ci", help="Write a workflow, too: github.", metavar="CI", show_default=False)
    ] = "",
) -> None:
    """Write a manifest for the project in this folder, from its own files. Nothing is overwritten.

    Example: testbay init --check
    """
    from testbay.harness.run import command as runs
    from testbay.init import command as initialising
    from testbay.manifest import service as manifest

    chosen = configuration.load()
    voice, here = Voice(environ=chosen.environ), Path.cwd()
    initialising.execute(here, chosen.environ, voice, ci=ci)
    if check:
        run = runs.Run(manifest.load_manifest(here), manifest.find_project(here), chosen, voice)
        raise typer.Exit(runs.execute(run, []))
