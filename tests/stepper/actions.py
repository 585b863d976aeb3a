"""What stands in for the actions our workflows use: what a later step or a person can see of each, and nothing else."""

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from tests.stepper.commands import Output, StepFailedError
from tests.stepper.expressions import UnknownError

NOT_IN_A_NAME = re.compile(r'[":<>|*?\r\n\\/]')
NOT_IN_A_PATH = re.compile(r'[":<>|*?\r\n]')
PUBLISHED = "on the web"  # beside the artifacts: no artifact can have this name
Artifacts = dict[str, dict[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One use of an action. `folders` are the repositories there are, `store` holds the run's artifacts, `paths` what
    later steps have on PATH.
    """

    inputs: Mapping[str, str]
    permissions: Mapping[str, str]
    repository: str
    folders: Mapping[str, Path]
    server: str
    sha: str
    workspace: Path
    temp: Path
    output: Output
    store: Artifacts
    paths: list[str]


def checkout(call: Call) -> None:
    """The commit, with as much history as asked for. Without `contents: read` a private repository is not found."""
    if call.inputs.get("persist-credentials") != "false":
        raise UnknownError("checkout that leaves its credentials for later steps")
    if call.permissions.get("contents") not in ("read", "write"):
        raise StepFailedError("fatal: repository not found")
    name = call.inputs.get("repository", call.repository)
    if name not in call.folders:
        raise StepFailedError(f"fatal: repository '{call.server}/{name}/' not found")
    depth = call.inputs.get("fetch-depth", "1")
    commit = call.inputs.get("ref") or (call.sha if name == call.repository else "HEAD")
    fetch(call.folders[name], commit, call.workspace / call.inputs.get("path", "."), f"{call.server}/{name}", depth)


def fetch(source: Path, commit: str, folder: Path, origin: str, depth: str = "1") -> None:
    """That commit of a repository, in a folder of its own; the depth "0" is all of its history.

    Raises:
        StepFailedError: There is no such commit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history = [] if depth == "0" else ["--depth", depth]
    for arguments in (
        ["init", "--quiet"],
        ["remote", "add", "origin", origin],
        ["fetch", "--quiet", *history, f"file://{source}", commit],
        ["checkout", "--quiet", "FETCH_HEAD"],
    ):
        if subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True).returncode:
            raise StepFailedError(f"fatal: {arguments[0]}: {commit} of {origin}")


def setup_python(call: Call) -> None:
    """A Python of its own, first on PATH: here the one that runs the tests, whatever version is asked for.

    Who has its packages cached installs some into it: that needs an environment that is really its own.
    """
    if call.inputs.get("cache") == "pip":
        patterns = call.inputs["cache-dependency-path"].split()
        if not any(file.is_file() for pattern in patterns for file in call.workspace.glob(pattern)):
            raise StepFailedError(f"No file in {call.workspace} matched to {patterns}")
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        subprocess.run([python, "-m", "venv", call.temp / "python"], check=True)
        call.paths.insert(0, str(call.temp / "python/bin"))
        return
    folder = call.temp / "python"
    folder.mkdir(exist_ok=True)
    for name in ("python", "python3"):
        (folder / name).symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    call.paths.insert(0, str(folder))


def upload_artifact(call: Call) -> None:
    """Files as they are now, under a name used once in a run."""
    name, path = call.inputs["name"], call.workspace / call.inputs["path"]
    if "\n" in call.inputs["path"] or "*" in call.inputs["path"]:
        raise UnknownError(f"upload-artifact of {call.inputs['path']!r}")
    hidden = call.inputs.get("include-hidden-files", "false") == "true"
    root = path if path.is_dir() else path.parent
    files = {str(file.relative_to(root)): file.read_bytes() for file in _walk(path, hidden=hidden)}
    if NOT_IN_A_NAME.search(name):
        raise StepFailedError(f"The artifact name is not valid: {name}")
    if name in call.store and call.inputs.get("overwrite") != "true":
        raise StepFailedError("Conflict: an artifact with this name already exists on the workflow run")
    if bad := [file for file in files if NOT_IN_A_PATH.search(file)]:
        raise StepFailedError(f"The path for one of the files in artifact is not valid: {bad[0]}")
    if files:
        call.store[name] = files
        return
    said = f"No files were found with the provided path: {call.inputs['path']}. No artifacts will be uploaded."
    if call.inputs.get("if-no-files-found", "warn") == "error":
        raise StepFailedError(said)
    call.output.say(f"##[warning]{said}")


def _walk(path: Path, *, hidden: bool) -> Iterator[Path]:
    """Every file below; a name with a leading dot hides itself and all it holds, the first folder's own name too."""
    if not path.exists() or (path.name.startswith(".") and not hidden):
        return
    if path.is_file():
        yield path
        return
    for inner in sorted(path.iterdir()):
        yield from _walk(inner, hidden=hidden)


def download_artifact(call: Call) -> None:
    """The artifact of that `name`, or every one that fits `pattern`, each then in a folder of its artifact's name."""
    folder = call.workspace / call.inputs["path"]
    if (name := call.inputs.get("name")) is not None:
        if name not in call.store:
            raise StepFailedError(f"Unable to download artifact(s): Artifact not found for name: {name}")
        _unpack(call.store[name], folder)
        return
    for name in filter(partial(fnmatchcase, pat=call.inputs["pattern"]), call.store):
        _unpack(call.store[name], folder / name)


def _unpack(files: Mapping[str, bytes], folder: Path) -> None:
    for file, data in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)


def deploy_pages(call: Call) -> None:
    """What was packed and kept as `github-pages` is what people see then."""
    if {"pages", "id-token"} - {right for right, level in call.permissions.items() if level == "write"}:
        raise StepFailedError("Ensure GITHUB_TOKEN has permission 'id-token: write' and 'pages: write'.")
    if "artifact.tar" not in call.store.get("github-pages", {}):
        raise StepFailedError("No artifacts named 'github-pages' were found for this workflow run.")
    with tarfile.open(fileobj=io.BytesIO(call.store["github-pages"]["artifact.tar"])) as tar:
        files = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isfile()}
        call.store[PUBLISHED] = {name: file.read() for name, file in files.items() if file}


def publish_to_pypi(call: Call) -> None:
    """Trusted publishing: the job has to be one that may prove who it is, and PyPI takes what the folder holds."""
    if call.permissions.get("id-token") != "write":
        raise StepFailedError("Trusted publishing exchange failure: OpenID Connect token retrieval failed")
    files = {file.name: file.read_bytes() for file in (call.workspace / call.inputs["packages-dir"]).iterdir()}
    if not files or not all(name.endswith((".whl", ".tar.gz")) for name in files):
        raise StepFailedError(f"It looks like there are no Python distribution packages to publish: {sorted(files)}")
    call.store[PUBLISHED] = files


# Each with the inputs it knows. Another input, or another action, is refused.
TABLE: Mapping[str, tuple[Callable[[Call], None], set[str]]] = {
    "actions/checkout": (checkout, {"persist-credentials", "fetch-depth", "repository", "ref", "path"}),
    "actions/setup-python": (setup_python, {"python-version", "cache", "cache-dependency-path"}),
    "actions/upload-artifact": (
        upload_artifact,
        {"name", "path", "include-hidden-files", "if-no-files-found", "overwrite", "retention-days"},
    ),
    "actions/deploy-pages": (deploy_pages, set()),
    "pypa/gh-action-pypi-publish": (publish_to_pypi, {"packages-dir"}),
    "actions/download-artifact": (download_artifact, {"pattern", "name", "path"}),
}


def use(uses: str, call: Call) -> None:
    """Do what stands in for that action, which GitHub and not this repository brings.

    Raises:
        StepFailedError: It failed, as the real one would.
        UnknownError: There is no stand-in, or not for that input.
    """
    name, _, commit = uses.partition("@")
    if name not in TABLE or not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise UnknownError(f"the action {uses}")
    action, known = TABLE[name]
    if unknown := sorted(set(call.inputs) - known):
        raise UnknownError(f"{name}: the input {unknown[0]}")
    action(call)
