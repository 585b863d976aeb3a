"""The holder of a port that a manifest fixes: a stack of testbay, a container, or a process."""

from testbay import ports
from testbay.harness.engines import docker
from testbay.harness.stack import registry
from testbay.settings import Settings
from testbay.text import visible


def holder(port: int, settings: Settings) -> str:
    """Return in words what holds a port, as far as this user may see."""
    for record in registry.living(settings.stacks_dir):
        if port in (record.get("ports") or {}).values():
            return f"the stack {record['id']} of {record['project']} (testbay down {record['id']})"
    return visible(docker.publisher(settings.environ, port)) or ports.holder(port)
