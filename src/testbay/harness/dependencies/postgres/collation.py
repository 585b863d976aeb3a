"""The sort order of texts: the image's locale if this machine has it, else ICU's, else by code point."""

import locale
from typing import NamedTuple

from testbay import process
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import builds, image, programs
from testbay.manifest.compose.reading import ComposeService

_ICU_SINCE = 15  # initdb --locale-provider


class Order(NamedTuple):
    """The arguments for initdb, and a note for the user; no note when texts sort as in the image."""

    words: tuple[str, ...]
    note: str = ""


def order(service: ComposeService, config: image.PostgresConfig, server: Server) -> Order:
    """Choose the sort order of a new cluster, as near to the image's as this machine can."""
    plain = f"--locale={'C.UTF-8' if process.LINUX else 'C'}"
    if image.is_code_point(config.locale) and not config.icu:
        return Order(("--locale=C",) if config.locale.lower() in ("c", "posix") else (plain,))
    if not config.icu and (name := _of_this_machine(config.locale)):
        return Order((plain, f"--lc-collate={name}", f"--lc-ctype={name}"))
    if programs.major(server) >= _ICU_SINCE and programs.has_icu(server):
        tag = config.locale.partition(".")[0].replace("_", "-")
        note = (
            "" if config.icu else f"sort order: texts sort by ICU's {tag}, in the image by its locale {config.locale}"
        )
        return Order((plain, "--locale-provider=icu", f"--icu-locale={tag}"), note)
    return Order((plain,), _difference(service, config, server))


def _difference(service: ComposeService, config: image.PostgresConfig, server: Server) -> str:
    wanted = programs.major_of(service.tag) or str(programs.major(server))
    ways = 'POSTGRES_INITDB_ARGS: "--locale=C.UTF-8" in the compose file'
    if server.source != programs.ADDED and int(wanted) >= _ICU_SINCE and wanted in builds.offered(builds.this_system()):
        ways = f"`testbay servers add postgres:{wanted}`, or {ways}"
    return (
        f"sort order: texts sort by code point ('Zoe' before 'anna'), in the image by its locale {config.locale} "
        f"('anna' before 'Zoe'); to make them equal: {ways}"
    )


def _of_this_machine(name: str) -> str:
    """This machine's spelling of a locale; empty if its C library lacks that locale."""
    before = locale.setlocale(locale.LC_COLLATE)
    for spelling in (name, name.replace(".utf8", ".UTF-8")):
        try:
            locale.setlocale(locale.LC_COLLATE, spelling)
        except (locale.Error, ValueError):
            continue
        locale.setlocale(locale.LC_COLLATE, before)
        return spelling
    return ""
