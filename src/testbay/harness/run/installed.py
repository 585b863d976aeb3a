"""A project that is installed and not editable: its tests meet that copy, not the files in its folder."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlparse


def copies_met(report: Path, root: Path, program: Path) -> list[Path]:
    """Return the installed packages that tests met in place of those below `root`, of which no line ran.

    `report` is the JSON report of coverage.py, with paths as seen from `root`; `program` is the Python of the tests.
    """
    ran = _lines_that_ran(report, root)
    return [copy for copy in _copies(root, program) if ran.get(copy.name) == 0]


def _lines_that_ran(report: Path, root: Path) -> Counter[str]:
    """Count the lines that ran in each package: of a file every folder's name counts, so also in src/."""
    ran: Counter[str] = Counter()
    with suppress(OSError, ValueError, KeyError, TypeError):  # no report: the run says so itself
        for name, file in json.loads(report.read_bytes())["files"].items():
            for part in Path(name).parts[:-1] if (root / name).exists() else ():
                ran[part] += file["summary"]["covered_lines"]
    return ran


def _copies(root: Path, program: Path) -> Iterator[Path]:
    """Yield the packages of the project that pip or uv copied from this very folder."""
    for folder in sorted(program.parent.parent.glob("lib/python3*/site-packages")):
        for origin in sorted(folder.glob("*.dist-info/direct_url.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # another package's, damaged
                told = json.loads(origin.read_bytes())
                place = Path(unquote(urlparse(told["url"]).path))
                if told["dir_info"].get("editable") or place.resolve() != root.resolve():
                    continue
                files = origin.with_name("RECORD").read_text(encoding="utf-8").splitlines()
                names = {line.partition("/")[0] for line in files if line.partition(",")[0].endswith("/__init__.py")}
                yield from (folder / name for name in sorted(names))
