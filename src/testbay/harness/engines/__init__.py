"""The two engines that run dependencies: natively (`embedded`) or in containers (`compose`).

An engine lives in a guard process and knows nothing about the servers: the dependencies' rooms plan how they are
started.
"""

from collections.abc import Callable
from typing import Any, Protocol

from testbay.harness.plans import ProcessPlan, StackPlan

Report = Callable[[dict[str, Any]], None]


class Engine(Protocol):
    """The engine, as a guard uses it."""

    def start(self, plan: StackPlan, report: Report) -> None:
        """Start everything in the plan; `report` gets facts to record as they arise (ports, pids, project).

        Raises:
            EngineUnavailableError: Something could not be started; carries its last words.
        """

    def snapshot(self, name: str, template: str) -> bool:
        """Save a server's data as a template (the server is stopped and started again); return whether it was saved."""

    def exited(self) -> list[tuple[str, int]]:
        """The name and exit code of each server that has ended since the last call."""

    def serve(self, server: ProcessPlan) -> int:
        """Start a further native server, whose end `exited` does not report; return its port.

        Raises:
            EngineUnavailableError: It could not be started.
        """

    def unserve(self, name: str) -> None:
        """End a further server and remove its files; nothing happens when none has that name."""

    def stop(self) -> list[str]:
        """End everything; return descriptions of what could not be ended."""
