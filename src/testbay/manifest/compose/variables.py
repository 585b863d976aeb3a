"""The variables of a compose project and the origin of each value: the shell first, then the env files."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from testbay.errors import ManifestError
from testbay.manifest.compose.envfiles import EnvFileError, parse_env
from testbay.manifest.compose.finding import UnboundedError, read_file, template_of
from testbay.manifest.compose.interpolation import OversizedTextError

Reader = Callable[[Path], bytes | None]

PROJECT_NAME = "COMPOSE_PROJECT_NAME"


@dataclass(kw_only=True)
class CharacterCount:
    """The total number of characters of a project's texts after interpolation."""

    total: int = 0


@dataclass(frozen=True, kw_only=True)
class Variables:
    """The values of `$NAME` in one project, or in a file it includes. `asked` collects every name looked up."""

    shell: Mapping[str, str] = field(repr=False)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    folder: Path
    asked: set[str] = field(default_factory=set)
    filled: CharacterCount = field(default_factory=CharacterCount, repr=False)

    def get(self, name: str) -> str | None:
        """The value of a variable; None if it has none."""
        self.asked.add(name)
        return self.shell[name] if name in self.shell else self.files.get(name, (None, ""))[0]

    def origin(self, name: str) -> str:
        """The origin of a variable's value, in words."""
        return "the shell" if name in self.shell else self.files.get(name, ("", "nowhere"))[1]

    def template(self, name: str) -> str:
        """The name of the template of a missing `.env`, if it gives the variable a value; else empty."""
        env = self.folder / ".env"
        template = None if env.exists() else template_of(env)
        text = (read_file(template) or b"").decode(errors="replace") if template else ""
        given = rf"(?m)^\s*(export\s+)?{re.escape(name)}[ \t]*=[ \t]*[^\s#]"
        return template.name if template and re.search(given, text) else ""

    def below(self, folder: Path, env_files: list[Path] | None, read: Reader) -> "Variables":
        """The variables of an included folder: these first, then those of its env files (by default `.env`).

        Raises:
            ManifestError: An env file is missing or cannot be understood.
        """
        given = env_files if env_files is not None else [folder / ".env"]
        known = dict(self.files)
        made = replace(self, files=known, folder=folder)
        for path in given:
            content = read(path)
            if content is None:
                if env_files is None:
                    continue
                raise ManifestError(f"{path} does not exist", why="it is named as an env file", todo="create it")
            for name, value in _read_env(path, content, made.get).items():
                if name not in self.files:
                    known[name] = (value, _named(path, folder))
        return made


def _named(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)


def _read_env(path: Path, content: bytes, lookup: Callable[[str], str | None]) -> dict[str, str]:
    try:
        return parse_env(content.decode(), lookup)
    except OversizedTextError as error:
        raise UnboundedError(f"{path}: {error}", todo="write the value itself") from None
    except (EnvFileError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: {error}", why="it is read as Compose reads it", todo="fix the line") from None


def project_name(named: str, folder: Path) -> str:
    """Return the name of a project in Compose: the given one, else that of its folder, in the allowed letters."""
    kept = re.sub(r"[^a-z0-9_-]", "", (named or folder.name).lower())
    return kept.lstrip("_-") or "default"
