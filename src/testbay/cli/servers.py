"""`testbay servers`: the server programs of this machine, and further ones on request."""

from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli.options import argument
from testbay.output import Voice

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def servers(context: typer.Context) -> None:
    """List this machine's server programs, and for which image each is. Example: testbay servers."""
    if context.invoked_subcommand:
        return
    from testbay.harness import servers as found

    chosen = configuration.load()
    found.listed(chosen, Voice(environ=chosen.environ))


@app.command()
def add(
    image: Annotated[str, argument("IMAGE", "An image of PostgreSQL: postgres:15.")],
) -> None:
    """Fetch the server of an image's major version, verify it and keep it. Example: testbay servers add postgres:15."""
    from testbay.harness import servers as found

    chosen = configuration.load()
    found.add(image, chosen, Voice(environ=chosen.environ))
