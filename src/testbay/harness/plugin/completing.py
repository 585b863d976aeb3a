"""Completing pytest's arguments under `testbay run`, without overriding the suite's own settings."""

import shutil
import sys
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from testbay import settings
from testbay.harness.plugin import coveragerc, garbage
from testbay.harness.plugin.coverageparsing import OneParse
from testbay.harness.plugin.replacedservers import ReplacedServers
from testbay.harness.plugin.suite import Suite

SERVICE_VARIABLE = "TESTBAY_COVERAGE"  # in pytest's environment: the settings by which the service is measured
_REPORTS = {"json": "coverage.json", "xml": "coverage.xml"}


class ReportCopies:
    """Copies the reports of a run to where the suite wants them."""

    def __init__(self) -> None:
        self.wanted: list[tuple[Path, Path]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Copy the reports after pytest and its plugins have written them."""
        for ours, theirs in self.wanted:
            if ours.exists():
                theirs.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ours, theirs)


def complete(config: pytest.Config, parser: Any, args: list[str], *, worker: bool) -> None:
    """Add to pytest's arguments what the suite leaves open, before any conftest is read.

    `args` is pytest's own list: the suite's `addopts`, the environment's and the caller's arguments in one. A worker of
    xdist reads the settings that its controller wrote, and copies no report.
    """
    garbage.skip_at_exit()
    if garbage.PARSER_IS_FRAGILE:
        config.pluginmanager.register(garbage.PausedForReports(), "testbay-garbage")
    suite = Suite.read(Path(config.known_args_namespace.testbay_suite))
    copies = ReportCopies()
    if not worker:
        config.pluginmanager.register(copies, "testbay-copies")
        config.pluginmanager.register(ReplacedServers(Path(suite.run_dir) / "tests.jsonl"), "testbay-replacedservers")
    _complete(suite, config, args, copies)
    if worker and getattr(config.known_args_namespace, "cov_append", None) is False:
        args.append("--cov-append")  # or pytest-cov erases, in each worker, what other processes measured by then
    highest = config.known_args_namespace.confcutdir  # pytest's own finding: above it no conftest is read or looked for
    config.known_args_namespace = parser.parse_known_args(args, namespace=copy(config.option))
    config.known_args_namespace.confcutdir = highest


def _complete(suite: Suite, config: pytest.Config, args: list[str], copies: ReportCopies) -> None:
    known, run_dir = config.known_args_namespace, Path(suite.run_dir)
    if len(known.file_or_dir) > 1 and suite.collect in args:
        args.remove(suite.collect)  # the caller names tests, which narrows the run
    args += [*_traceback_style(known, args), *_time_limit(suite, config, args)]
    if hasattr(known, "xmlpath"):  # no `-p no:junitxml`
        copies.wanted += [(run_dir / "junit.xml", Path(known.xmlpath).absolute())] if known.xmlpath else []
        args.append(f"--junitxml={run_dir / 'junit.xml'}")
    if suite.workers > 1 and _may_have_workers(known):
        args += [f"--numprocesses={suite.workers}", "--dist=worksteal"]
    if not hasattr(known, "cov_source") or known.no_cov:
        return
    if suite.coverage != "off" and not config.pluginmanager.has_plugin("testbay-reading"):
        config.pluginmanager.register(OneParse(), "testbay-reading")
    args += ["--no-cov"] if suite.coverage == "off" else _measured(suite, config, copies)


def _traceback_style(known: Any, args: list[str]) -> list[str]:
    is_open = hasattr(known, "tbstyle") and not any(word.startswith("--tb") for word in args)  # no `-p no:terminal`
    return ["--tb=short"] if is_open else []


def _time_limit(suite: Suite, config: pytest.Config, args: list[str]) -> list[str]:
    if not hasattr(config.known_args_namespace, "timeout"):  # pytest-timeout is not there
        return []
    own_limit = config.getini("timeout") or any(word.startswith("--timeout=") for word in args)
    return [f"--timeout={suite.timeout_s}"] if suite.timeout_asked or not own_limit else []


def _may_have_workers(known: Any) -> bool:
    """Return whether testbay may choose the number of workers: no xdist option is set, and no debugger."""
    is_open = getattr(known, "numprocesses", 0) is None and known.dist == "no" and not known.tx
    watches = known.usepdb or known.trace or known.collectonly or known.capture == "no"
    return is_open and not watches and not any("::" in word for word in known.file_or_dir)


def _monitors() -> bool:
    """Return whether to make coverage.py use `sys.monitoring`: it can, and does so by itself only from 3.14 on."""
    from coverage.config import CoverageConfig

    asked = settings.environ().get("COVERAGE_CORE")
    return not asked and (3, 12) <= sys.version_info < (3, 14) and hasattr(CoverageConfig(), "core")


def _measured(suite: Suite, config: pytest.Config, copies: ReportCopies) -> list[str]:
    """The pytest-cov arguments that the suite leaves open."""
    known, run_dir = config.known_args_namespace, Path(suite.run_dir)
    given = [source for source in known.cov_source if source is not True]
    rules = coveragerc.read(known.cov_config, [Path.cwd(), config.rootpath])
    source = "" if given else suite.source
    rules = coveragerc.completed(rules, run_dir, source, everything=suite.coverage == "all")
    if _monitors() and not (known.cov_branch or known.cov_context) and coveragerc.may_monitor(rules):
        rules["run"]["core"] = "sysmon"
    for name in ("fail_under", "precision"):
        if (said := getattr(known, f"cov_{name}", None)) is not None:
            rules.setdefault("report", {})[name] = str(said)
    if not (run_dir / "coveragerc").exists():  # a worker's controller has written both
        coveragerc.write(rules, run_dir / "coveragerc")
        coveragerc.write(coveragerc.of_the_service(rules, given), run_dir / "coveragerc-service")
    settings.export(SERVICE_VARIABLE, str(run_dir / "coveragerc-service"))
    more = []  # and no table in the terminal, unless the suite asks for one: it would part the reader from the result
    for kind, name in _REPORTS.items():
        if kind in known.cov_report:
            theirs = known.cov_report[kind] or rules.get(kind, {}).get("output", name)
            copies.wanted.append((run_dir / name, Path(theirs).absolute()))
        more.append(f"--cov-report={kind}:{run_dir / name}")
    return [*([] if known.cov_source else ["--cov"]), f"--cov-config={run_dir / 'coveragerc'}", *more]
