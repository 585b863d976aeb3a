"""Tab completion with names of this project that are safe in a shell's line."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from testbay.errors import BayError

_HARMLESS = re.compile(r"[\w@%+=./-]+")
_MOST = 200


def _offered(names: Callable[[Path], Iterable[str]]) -> Callable[[str], list[str]]:
    """Complete with these names of the project; with none where the project cannot be read.

    A name that a shell would split or obey is left out: a test's parameters are a stranger's text.
    """

    def complete(incomplete: str) -> list[str]:
        from testbay.manifest.project import find_project

        try:
            found = list(names(find_project(Path.cwd())))
        except (BayError, OSError, ValueError):
            return []
        fitting = [name for name in dict.fromkeys(found) if name.startswith(incomplete)]
        return [name for name in fitting if _HARMLESS.fullmatch(name)][:_MOST]

    return complete


def _services(project: Path) -> Iterable[str]:
    from testbay.manifest.project import service_folders

    return service_folders(project)


def _failed_tests(project: Path) -> Iterable[str]:
    """Test names without file and parameters: `testbay open` takes a part of an id, and this part needs no quotes."""
    from testbay.harness.run import archives

    tests = (kept.archive.about.test for kept in archives.find(project) if kept.archive)
    return (test.rpartition("::")[2].partition("[")[0] for test in tests)


def _runs(project: Path) -> Iterable[str]:
    from testbay.harness.run import folder

    return sorted((file.parent.name for file in folder.runs(project).glob(f"*/{folder.RECORD}")), reverse=True)


def _checks(project: Path) -> Iterable[str]:
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import service_folders

    return (check.id for folder in service_folders(project).values() for check in load_manifest(folder).check)


def _targets(project: Path) -> Iterable[str]:
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import service_folders

    return (name for folder in service_folders(project).values() for name in load_manifest(folder).target)


def _stacks(project: Path) -> Iterable[str]:
    from testbay import settings
    from testbay.harness.stack import registry

    records = registry.living(settings.load().stacks_dir)
    return [record["id"] for record in records if record.get("project") == str(project)]


def one_of(*words: str) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


services = _offered(_services)
failed_tests = _offered(_failed_tests)
runs = _offered(_runs)
checks = _offered(_checks)
targets = _offered(_targets)
stacks = _offered(_stacks)
engines = one_of("auto", "compose", "embedded")
phases = one_of("pre-merge", "pre-deploy", "post-deploy", "scheduled")
