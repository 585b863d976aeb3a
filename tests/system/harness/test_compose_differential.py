"""Our reader of compose files beside the real Compose, over projects of our own making that cover each rule."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.samples.compose_cases import Case, cases, real

from testbay.errors import ManifestError
from testbay.manifest.compose import reader
from testbay.manifest.compose.docker import single_dollars
from testbay.manifest.compose.reading import ComposeFile, ComposeService
from testbay.manifest.compose.records import RecordMaker

pytestmark = pytest.mark.compose

ALL = list(cases())
READ = [pytest.param(case, id=case.name) for case in ALL if not case.refused]
REFUSED = [pytest.param(case, id=case.name) for case in ALL if case.refused]


def ours(case: Case, folder: Path) -> ComposeFile:
    environ = {"HOME": os.environ["HOME"], **case.environ}
    files = reader.find(folder, environ) if case.found else [folder / name for name in case.named]
    return reader.own_reading(files, environ)


def compose(case: Case, folder: Path) -> dict[str, Any] | str:
    said: dict[str, Any] | str = single_dollars(real(folder, case.environ, *(() if case.found else case.named)))
    return said


def used(service: ComposeService) -> dict[str, Any]:
    """What testbay uses of a service; the order of names does not count."""
    unused = ("origins", "definition", "problem")
    said = {field.name: getattr(service, field.name) for field in fields(service) if field.name not in unused}
    return said | {"depends_on": set(service.depends_on), "networks": set(service.networks)}


def all_used(model: Any, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    def lookup(name: str) -> str | None:
        return environ.get(name)

    services = RecordMaker(model, lookup, {}, {}).services()
    return {service.key: used(service) for service in services}


def own_words(model: dict[str, Any]) -> dict[str, Any]:
    """A model without the `x-` keys, which nobody but the author of a file uses."""
    return {key: value for key, value in model.items() if not key.startswith("x-")}


def refuse(case: Case, folder: Path) -> None:
    """Raise the refusal of the file, or of the first service that has one."""
    for problem in (service.problem for service in ours(case, folder).services):
        if problem:
            raise problem


@pytest.mark.parametrize("case", READ)
def test_what_testbay_uses_is_what_compose_reads(case: Case, tmp_path: Path) -> None:
    """Image, environment, command, ports, mounts and all the others, of every service."""
    folder = case.write(tmp_path)
    theirs = compose(case, folder)

    assert {service.key: used(service) for service in ours(case, folder).services} == all_used(theirs, case.environ)


@pytest.mark.parametrize("case", READ)
def test_compose_reads_our_definition_as_the_file_itself(case: Case, tmp_path: Path) -> None:
    """So the compose engine may hand it a file of testbay's own making."""
    folder = case.write(tmp_path)
    reading = ours(case, folder)
    model = {"services": {service.key: service.definition for service in reading.services}, **reading.definition}
    (folder / "back.json").write_text(json.dumps(model).replace("$", "$$"), encoding="utf-8")
    expected = compose(case, folder)

    assert isinstance(expected, dict)
    assert single_dollars(real(folder, case.environ, "back.json")) == own_words(expected)


@pytest.mark.parametrize("case", REFUSED)
def test_what_compose_refuses_is_refused(case: Case, tmp_path: Path) -> None:
    """For the whole file, or for the service whose variable or env file is missing."""
    folder = case.write(tmp_path)

    with pytest.raises(ManifestError):
        refuse(case, folder)
    assert isinstance(compose(case, folder), str)


def test_there_are_enough_of_them() -> None:
    """Eighty files at least, each with a name of its own."""
    assert len(ALL) >= 80
    assert len({case.name for case in ALL}) == len(ALL)
