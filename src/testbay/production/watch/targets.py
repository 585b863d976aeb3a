"""The watched targets, each with its checks of the phase `scheduled`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.checks import Check, HttpCheck
from testbay.manifest.service import Manifest
from testbay.manifest.targets import Target
from testbay.production.checks import runner
from testbay.production.checks.client import ContextOptions
from testbay.production.checks.context import CheckContext
from testbay.production.history.slowness import Series
from testbay.production.remote import deployed
from testbay.text import nearest

_KEEP_ALIVE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class WatchedCheck:
    """One check at one target. `is_plain`: a request without cookies and redirects."""

    series: Series
    check: Any
    instance: str
    every_s: float
    is_plain: bool


@dataclass(kw_only=True)
class WatchedTarget:
    """One target of one service with its checks; `trouble` says why it cannot be watched, if so."""

    service: str
    target_name: str
    target: Target | None
    options: ContextOptions
    jobs: Sequence[WatchedCheck] = ()
    context: CheckContext | None = None
    own_client: Any = None  # for what has cookies of its own
    trouble: str = ""
    has_lookup: bool = False  # a platform is asked which commit should answer
    commit: str = ""
    expected: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.service, self.target_name


def watched_targets(manifests: Iterable[Manifest], only: str | None, environ: Mapping[str, str]) -> list[WatchedTarget]:
    """The targets of the services, each with its checks.

    Raises:
        ManifestError: An unknown target, or nothing to watch.
    """
    every = list(manifests)
    known = [name for manifest in every for name in manifest.target]
    if only is not None and only not in known:
        raise ManifestError(
            f"--target: unknown target {only!r}{nearest(only, known)}", todo=f"known: {', '.join(known)}"
        )
    found = [watched for manifest in every for watched in _of(manifest, only, environ) if watched.jobs]
    if not found:
        raise ManifestError(
            "there is nothing to watch: no check is for the phase scheduled",
            todo="add a [target.NAME] and [[check]] to the manifest (testbay explain watch)",
        )
    return found


def _of(manifest: Manifest, only: str | None, environ: Mapping[str, str]) -> Iterator[WatchedTarget]:
    checks = runner.chosen(manifest.check, "scheduled", ())
    targets = {name: one for name, one in manifest.target.items() if only in (None, name)}
    elsewhere = [check for check in checks if check.kind not in runner.ASKS_TARGET]
    for number, (name, target) in enumerate(targets.items()):
        asked = checks if number == 0 else [check for check in checks if check not in elsewhere]
        yield _watched(manifest, name, target, asked, environ)
    if not targets and elsewhere:
        yield _watched(manifest, "", None, elsewhere, environ)


def _watched(
    manifest: Manifest, name: str, target: Target | None, checks: Sequence[Check], environ: Mapping[str, str]
) -> WatchedTarget:
    jobs = [
        WatchedCheck(
            series=Series(manifest.service, name, check.id, instance),
            check=_without_retries(check),
            instance=instance,
            every_s=check.every,
            is_plain=isinstance(check, HttpCheck) and check.method in ("get", "head") and not check.follow,
        )
        for check in checks
        for instance in (runner.instances(check))
    ]
    secrets = (*manifest.secrets, *deployed.TOKENS)
    options = ContextOptions(
        target=target, root=manifest.root, environ=environ, secrets=secrets, keep_alive_s=_KEEP_ALIVE_S
    )
    return WatchedTarget(service=manifest.service, target_name=name, target=target, options=options, jobs=jobs)


def _without_retries(check: Check) -> Check:
    """Strip a check of further probes and attempts: the next round is soon."""
    update: dict[str, Any] = {"attempts": 1}
    if isinstance(check, HttpCheck):
        update["latency"] = None
    return check.model_copy(update=update)
