"""The command line: from arguments to a call to an exit code. Heavy imports stand inside the commands."""

import gc
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from testbay import settings as configuration
from testbay.cli import explain, harness, overview, production, secrets, servers, stacks, starting, watch
from testbay.errors import BayError, unusable
from testbay.output import Voice, farewell, open_closed_streams

app = typer.Typer(
    name="testbay",
    help="Real PostgreSQL, Dragonfly and NATS for every test run; gone without a trace afterwards.",
    epilog="Example: testbay run -- -k health      More: testbay explain reference",
    no_args_is_help=True,
    cls=overview.GroupedCommands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (starting, harness, stacks, secrets, production, watch, explain):
    app.add_typer(commands.app)
app.add_typer(servers.app, name="servers")


def main() -> None:
    """The `testbay` command."""
    open_closed_streams()
    os.umask(os.umask(0) & 0o077)  # an umask that shuts its own user out, such as 777: no server could start
    configuration.drop("PYTHONINSPECT")  # what is started, such as pytest, would end with 1 however it went
    code = farewell(_answer())
    gc.freeze()  # Python's last search for garbage takes longer than most commands: the process ends anyway
    if sys.flags.inspect:  # by that variable: instead of ending, Python would begin a dialogue
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _answer() -> int:
    """Call the command; returns its exit code."""
    try:
        app()
    except SystemExit as ended:  # typer's way to end
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BayError as error:
        _mask(error)
        Voice(sys.stderr if error.is_aside else None, environ=configuration.environ()).error(error)
        return error.exit_code
    except OSError as error:
        known = unusable(error)
        Voice(environ=configuration.environ()).error(known)
        return known.exit_code
    except KeyboardInterrupt:
        Voice(environ=configuration.environ()).say("error: interrupted")
        return 130
    return 0


def _mask(error: BayError) -> None:
    """Mask the secrets of the project's services in an error: it may quote what a migration printed."""
    from testbay.secrets import known

    try:
        mask = known.of(Path.cwd(), configuration.environ())
    except (BayError, OSError) as unknown:  # the error may be that very one
        if error.evidence and str(unknown) != str(error):
            error.evidence = f"not shown, as it is not known what is secret: {unknown}".partition("\n")[0]
        return
    error.change(mask)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False,
) -> None:
    """Print the version; this callback makes `--version` an option of `testbay` itself."""
    if version:
        Voice().say(f"testbay {metadata.version('testbay')}")
        raise typer.Exit
