"""The command that hands over secrets: `with-secrets`."""

import sys
from typing import Annotated

import typer

from testbay.cli import around
from testbay.cli.options import Service, read_service
from testbay.output import Voice

app = typer.Typer()


@app.command("with-secrets", cls=around.AroundACommand)
def with_secrets(
    context: typer.Context,
    service: Service = None,
    from_env: Annotated[
        bool, typer.Option("--from-env", help="Take the values from your environment, not from AWS.")
    ] = False,
) -> None:
    """Run a command with a service's secrets from AWS Parameter Store, and remove any report that holds one.

    It ends with the command's exit code. Example: testbay with-secrets -- make integration-test
    """
    from testbay.secrets import command as secrets

    manifest, project, chosen = read_service(service, None)
    if not context.args:
        raise typer.BadParameter("what should run? testbay with-secrets [SERVICE] -- CMD…")
    voice = Voice(sys.stderr, environ=chosen.environ)  # the command's own output stays clean
    known = Voice(environ=chosen.environ)
    raise typer.Exit(secrets.execute(manifest, project, chosen, voice, context.args, masks=known, from_env=from_env))
