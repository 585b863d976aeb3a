"""`testbay with-secrets`: fetches secrets, masks them, runs the command, and searches what it wrote for them."""

import errno
import fnmatch
import os
import re
import resource
import shlex
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from testbay import masking, process
from testbay.errors import ManifestError, SecretLeakedError, SecretMissingError
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.secrets.aws import parameters
from testbay.settings import Settings

_OURS = ("AWS_", "ACTIONS_")  # credentials that are worth more than the secrets they lead to
_COMMAND_FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")  # they reach later steps
_CLOCK_S = 2.0  # a file system's clock may lag behind ours


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A variable and the source of its value, which does not appear in `repr`."""

    name: str
    origin: str
    value: str = field(repr=False)


def collect(manifest: Manifest, settings: Settings, *, from_env: bool) -> list[Secret]:
    """The manifest's secrets with their values.

    Raises:
        SecretMissingError: There are none, one is absent, or its value cannot be told from ordinary text.
    """
    if not manifest.secrets:
        raise SecretMissingError(
            f"{manifest.service} names no secrets",
            why=f"[secrets] is missing in {manifest.file}",
            todo='add e.g. OPENAI_API_KEY = "/path/in/parameter/store" (`testbay explain aws-setup`), '
            "or run the command alone",
        )
    stored = {} if from_env else {name: path for name, path in manifest.secrets.items() if path}
    given = {name: path for name, path in manifest.secrets.items() if name not in stored}
    found = _from_environment(given, settings.environ)
    found += _from_aws(manifest, stored, settings.environ) if stored else []
    for secret in found:
        if not masking.long_enough(secret.value):
            raise SecretMissingError(
                f"the value of {secret.name} ({secret.origin}) is too short to be kept secret",
                why=f"a text may hold fewer than {masking.SHORTEST} characters by chance: no log could be masked",
                todo="store the real value",
            )
    return found


def _from_environment(given: Mapping[str, str], environ: Mapping[str, str]) -> list[Secret]:
    found = []
    for pattern, path in given.items():
        names = [name for name in sorted(fnmatch.filter(environ, pattern)) if environ[name]]
        if not names:
            raise SecretMissingError(
                f"{pattern} is not set",
                why="it is taken from your environment: --from-env was given, or the manifest names no path",
                todo=f"set it, or leave --from-env out: it is {path} in Parameter Store" if path else "set it",
            )
        found += [Secret(name=name, origin="your environment", value=environ[name]) for name in names]
    return found


def _from_aws(manifest: Manifest, stored: Mapping[str, str], environ: Mapping[str, str]) -> list[Secret]:
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or manifest.aws.region
    role = environ.get("AWS_ROLE_ARN") or manifest.aws.role
    access = parameters.Access(role=role or "", region=region or "", environ=environ)
    values = parameters.fetch(list(stored.values()), access)
    named = {}
    for name, path in sorted(stored.items(), key=lambda item: "*" not in item[0]):  # a name beats a folder
        for parameter, value in values[path].items():
            variable = name.replace("*", re.sub(r"\W", "_", parameter.rpartition("/")[2]).upper())
            named[variable] = Secret(name=variable, origin=parameter, value=value)
    return list(named.values())


def execute(
    manifest: Manifest,
    project: Path,
    settings: Settings,
    voice: Voice,
    command: Sequence[str],
    *,
    masks: Voice,
    from_env: bool,
) -> int:
    """Run a command with the service's secrets; return its exit code (128 + signal if one ended it).

    `masks` prints where the CI reads commands.

    Raises:
        SecretMissingError: They cannot be had; the command was not started.
        SecretLeakedError: It wrote one into a report; the report is gone.
    """
    with process.signals_as_errors():
        found = collect(manifest, settings, from_env=from_env)
        for secret in found:
            masks.mask(secret.value)
        voice.detail(f"secrets: {', '.join(f'{secret.name} ({secret.origin})' for secret in found)}")
        began = time.time()
        env = {name: value for name, value in settings.environ.items() if not name.startswith(_OURS)}
        env |= {secret.name: secret.value for secret in found}
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # it would hold them
        try:
            with process.run_in_place(command, env=env) as code:
                _search(project, settings.environ, found, began, root=manifest.root)
        except (OSError, ValueError) as error:  # the latter: an environment cannot hold a zero byte
            reason = error.strerror if isinstance(error, OSError) else "a secret holds a zero byte"
            what = f"cannot run {shlex.join(command)}: {reason}"
            raise ManifestError(what, todo="name a program on the PATH") from None
        return code


def _search(
    project: Path, environ: Mapping[str, str], found: Sequence[Secret], began: float, *, root: Path | None = None
) -> None:
    """Remove every file written since `began` that holds a secret: reports of a failed run are uploaded, too."""
    values = [secret.value for secret in found]
    scan = masking.Scan(values)
    gone: list[str] = []
    stuck: list[str] = []
    folders = {project / ".testbay", project / ".pytest_cache", (root or project) / ".pytest_cache"}
    for file, remove in _written(folders, environ, began, stuck):
        name = masking.masked(str(file), values)
        try:
            if name != str(file) or scan.finds(file):
                remove(file)
                gone.append(name)
        except FileNotFoundError:
            continue  # its writer took it away while we looked
        except OSError as error:
            stuck.append(f"{name}: {error.strerror}")
    if stuck:
        raise SecretLeakedError(
            f"{len(stuck)} of the reports could not be searched for secrets",
            why="they belong to another user, or the disk fails",
            todo="upload none of them; remove them as their owner",
            evidence="\n".join(stuck + gone),
        )
    if gone:
        raise SecretLeakedError(
            f"a secret was found in {len(gone)} of the reports: removed",
            why="a test or the service printed it, compared it in an assert, or wrote it into a file",
            todo="keep it out of asserts and logs; change the secret if the report was seen before",
            evidence="\n".join(gone),
        )


def _written(
    folders: Iterable[Path], environ: Mapping[str, str], began: float, stuck: list[str]
) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Yield each file written since `began` and the function that removes it; collect unreadable folders in `stuck`."""

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            stuck.append(f"{error.filename}: {error.strerror}")

    walks = (os.walk(folder, onerror=unread) for folder in sorted(folders) if folder.exists())
    for file in (Path(root) / name for root, _, names in chain.from_iterable(walks) for name in names):
        try:
            status = file.stat()
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link that leads nowhere
                unread(error)
            continue
        if stat.S_ISREG(status.st_mode) and status.st_ctime >= began - _CLOCK_S:
            yield file, Path.unlink
    for variable in _COMMAND_FILES:
        if file_name := environ.get(variable):
            yield Path(file_name), _empty  # GitHub reads it after us and wants it to be there


def _empty(file: Path) -> None:
    os.truncate(file, 0)
