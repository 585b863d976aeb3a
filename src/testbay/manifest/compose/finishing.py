"""The last steps of a reading, as Compose does them: env files, bare names, command lines, defaults."""

import os
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose.consistency import misfit
from testbay.manifest.compose.document import text_of
from testbay.manifest.compose.envfiles import EnvFileError, parse_env, parse_raw
from testbay.manifest.compose.filling import Filled, Unset, blanks_in, unset_in
from testbay.manifest.compose.finding import template_of
from testbay.manifest.compose.loading import PROBLEM
from testbay.manifest.compose.merging import pairs
from testbay.manifest.compose.variables import Reader, Variables
from testbay.manifest.compose.words import BadCommandLineError, split_words

Origins = dict[str, dict[str, str]]  # service → name in its environment → where the value came from, in words


class Finisher:
    """Turns the merged tree of one project into what `docker compose config --format json` prints."""

    def __init__(self, variables: Variables, read: Reader, name: str) -> None:
        self._variables = variables
        self._read = read
        self._name = name
        self.origins: Origins = {}
        self.problems: dict[str, ManifestError] = {}

    def model(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Convert the whole project.

        Raises:
            ManifestError: A command line or an env file cannot be read as Compose reads it.
        """
        services = {name: self._service(name, service) for name, service in tree["services"].items()}
        for name, service in services.items():
            if name not in self.problems and (problem := misfit(name, service, tree)):
                gaps = ", ".join(blanks_in(tree["services"][name].get("image")))
                if not service.get("profiles") and not gaps:
                    raise problem
                self.problems[name] = _of_a_gap(problem, gaps) if gaps else problem
        made = {"name": self._name, "services": services}
        for kind in ("networks", "volumes", "configs", "secrets"):
            if table := tree.get(kind):
                made[kind] = {key: self._named(key, entry) for key, entry in table.items()}
        return made

    def _named(self, key: str, entry: Any) -> Any:
        entry = dict(entry or {})
        if isinstance(old := entry.get("external"), dict):  # external: {name: …}, as files of version 3.3 have it
            entry |= {"external": True, "name": old.get("name") or key}
        made = {"name": f"{self._name}_{key}"} | plain(entry)
        if made.get("external") is True and "name" not in entry:
            made["name"] = key
        return made

    def _service(self, name: str, tree: dict[str, Any]) -> dict[str, Any]:
        environment, problem = self._environment(name, tree)
        problem = next(unset_in(tree), None) or problem
        if problem is not None:
            self.problems[name] = problem
        left_out = ("env_file", "environment", PROBLEM)
        made = plain({key: value for key, value in tree.items() if key not in left_out and value is not None})
        made |= {"environment": environment} if environment else {}
        for key in ("command", "entrypoint"):
            made[key] = _words(tree.get(key), f"services.{name}.{key}")
        if isinstance(build := made.get("build"), dict) and build.get("args"):
            build["args"] = {key: self._argument(key, value) for key, value in pairs(build["args"]).items()}
        return _with_defaults(made)

    def _argument(self, name: str, value: Any) -> str | None:
        """The value of a build argument; a bare name takes the variable's."""
        return self._variables.get(name) if value is None else plain_text(value)

    def _environment(self, name: str, tree: dict[str, Any]) -> tuple[dict[str, str | None], ManifestError | None]:
        """The environment, merged over the env files, and the error of an unreadable env file."""
        values: dict[str, str | None] = {}
        origins: dict[str, str] = {}
        problem = None
        for entry in tree.get("env_file") or []:
            try:
                found = self._env_file(name, entry, values)
            except ManifestError as error:
                problem, found = error, {}
            values |= found
            origins |= dict.fromkeys(found, f"env_file {self._short(entry['path'])}")
        for key, value in (tree.get("environment") or {}).items():
            values[key] = self._variables.get(key) if value is None else plain_text(value)
            origins[key] = self._variables.origin(key) if value is None else _origin(value)
        self.origins[name] = origins
        return values, problem

    def _env_file(self, service: str, entry: dict[str, Any], earlier: dict[str, str | None]) -> dict[str, str]:
        path = Path(entry["path"])
        content = self._read(path)
        if content is None:
            if entry.get("required") in (False, "false"):
                return {}
            template = template_of(path)
            made = f"cp {template.name} {path.name} beside it" if template else "create it"
            raise ManifestError(
                f"services.{service}: the env file {path} does not exist",
                why="Compose does not start the service without it",
                todo=f"{made}, or write env_file: [{{path: …, required: false}}]",
            )

        def lookup(name: str) -> str | None:
            value = earlier.get(name)
            return value if value is not None else self._variables.get(name)

        try:
            text = content.decode()
            return parse_raw(text) if entry.get("format") == "raw" else parse_env(text, lookup)
        except (EnvFileError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: {error}", why="it is read as Compose reads it", todo="fix the line") from None

    def _short(self, path: str) -> str:
        folder = self._variables.folder
        return os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path


def _of_a_gap(problem: ManifestError, gaps: str) -> ManifestError:
    return ManifestError(problem.what, why=gaps, todo="set the variable in the shell or in .env")


def _origin(value: Any) -> str:
    return f"environment, {value.origin}" if isinstance(value, Filled) and value.origin else "environment"


def _words(value: Any, where: str) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, list):
        return [plain_text(word) for word in value]
    try:
        return split_words(plain_text(value))
    except BadCommandLineError:
        raise ManifestError(
            f"{where}: {str(value)[:200]!r} is not a command line",
            why="a quotation or a parenthesis is not closed",
            todo="close it, or write the command as a list of words",
        ) from None


def _with_defaults(service: dict[str, Any]) -> dict[str, Any]:
    if isinstance(build := service.get("build"), dict):
        named = {} if "dockerfile_inline" in build else {"dockerfile": "Dockerfile"}
        service["build"] = {"context": "."} | named | build
    if not service.get("networks") and not service.get("network_mode"):
        service["networks"] = {"default": None}
    before = {name: {"condition": "service_started", "required": True} | restart for name, restart in _implied(service)}
    if before or service.get("depends_on"):
        service["depends_on"] = before | (service.get("depends_on") or {})
    return service


def _implied(service: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The services that a service needs through `links`, `volumes_from` or a shared namespace."""
    linked = [link.partition(":")[0] for link in service.get("links") or []]
    shared = [entry.partition(":")[0] for entry in service.get("volumes_from") or [] if entry[:10] != "container:"]
    found: list[tuple[str, dict[str, Any]]] = [(name, {"restart": True}) for name in linked]
    found += [(name, {}) for name in shared]
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        kind, _, name = str(service.get(key) or "").partition(":")
        if kind == "service":
            found.append((name, {"restart": True}))
    return found


def plain_text(value: Any) -> str:
    """A scalar as a plain `str`, without its place in the file."""
    return str.__str__(value) if isinstance(value, str) else text_of(value)


def plain(value: Any) -> Any:
    """Convert a tree to plain values; a value that cannot be filled in becomes an empty text."""
    if isinstance(value, dict):
        return {str.__str__(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Unset):
        return ""
    return str.__str__(value) if isinstance(value, str) else value
