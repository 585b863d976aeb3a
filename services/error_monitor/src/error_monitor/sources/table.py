"""The sources that the settings ask for: one row each."""

from collections.abc import Sequence

from error_monitor.settings import Settings
from error_monitor.sources.containers import Containers
from error_monitor.sources.files import Files
from error_monitor.sources.loki import LokiSource
from error_monitor.sources.railway import RailwaySource
from error_monitor.sources.records import Source


def sources(settings: Settings) -> Sequence[Source]:
    """Every source that is set up."""
    made: list[Source] = []
    if settings.log_files:
        made.append(Files(settings.log_files, settings.monitor, settings.lookback_s))
    if settings.log_containers:
        containers = Containers(
            settings.log_containers,
            settings.monitor,
            timeout_s=settings.source_timeout_s,
            lookback_s=settings.lookback_s,
        )
        made.append(containers)
    if settings.loki:
        made.append(LokiSource(settings, settings.loki))
    if settings.railway:
        made.append(RailwaySource(settings, settings.railway))
    return made
