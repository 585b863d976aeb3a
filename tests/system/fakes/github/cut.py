"""Cut what testbay uses out of GitHub's own description of its API, into openapi.json beside this file.

Usage: python tests/system/fakes/github/cut.py   (needs npm and a registry; a change of VERSION needs the new SHA256)

The package is under the MIT licence, see LICENSE in this folder. Left out are examples and extensions, which say
nothing about what is valid. Nothing is changed.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "@octokit/openapi"
VERSION = "23.0.2"
SHA256 = "71a18407dd5e8464f4e0525daf03deabbe65abd9287d6adc7b5d98f516cd0d0c"
MEMBER = "package/generated/api.github.com.json"
ISSUES = "/repos/{owner}/{repo}/issues"
DEPLOYMENTS = "/repos/{owner}/{repo}/deployments"
OPERATIONS = {
    ISSUES: ("get", "post"),
    f"{ISSUES}/{{issue_number}}": ("patch",),
    f"{ISSUES}/{{issue_number}}/comments": ("get", "post"),
    DEPLOYMENTS: ("get",),
    f"{DEPLOYMENTS}/{{deployment_id}}/statuses": ("get",),
}
NOT_NEEDED = {"example", "examples", "externalDocs", "summary", "tags"}


def fetch() -> dict[str, Any]:
    """The description in the published package, if that is the one we know."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True, capture_output=True)
        [archive] = Path(folder).iterdir()
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{archive.name} has the hash {found}, not {SHA256}")
        with tarfile.open(archive) as package:
            member = package.extractfile(MEMBER)
            assert member
            whole = json.load(member)
    assert isinstance(whole, dict)
    return whole


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref" and isinstance(value, str))
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


def bare(node: Any, *, names: bool = False) -> Any:
    """Without what says nothing about validity; below `properties` the same words are names of fields."""
    if isinstance(node, list):
        return [bare(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if names or (key not in NOT_NEEDED and not key.startswith("x-"))}
    return {key: bare(value, names=key == "properties" and not names) for key, value in kept.items()}


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    """Our operations, and every component that they lead to."""
    paths = {path: {verb: bare(whole["paths"][path][verb]) for verb in verbs} for path, verbs in OPERATIONS.items()}
    components: dict[str, dict[str, Any]] = {}
    ahead = sorted(set(references(paths)))
    while ahead:
        _, _, room, name = ahead.pop().split("/")
        if name not in components.setdefault(room, {}):
            components[room][name] = bare(whole["components"][room][name])
            ahead += sorted(set(references(components[room][name])))
    ordered = {room: dict(sorted(components[room].items())) for room in sorted(components)}
    return {
        "openapi": whole["openapi"],
        "info": {"title": f"cut from {PACKAGE} {VERSION} by cut.py", "version": VERSION, "license": {"name": "MIT"}},
        "servers": whole["servers"],
        "paths": paths,
        "components": ordered,
    }


def main() -> None:
    """Write the file and say how large it is."""
    text = json.dumps(cut(fetch()), indent=1) + "\n"
    Path(__file__).with_name("openapi.json").write_text(text, encoding="utf-8")
    sys.stdout.write(f"openapi.json: {len(text)} bytes\n")


if __name__ == "__main__":
    main()
