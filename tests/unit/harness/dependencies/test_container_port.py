import pytest

from testbay.harness.dependencies.postgres import image
from testbay.manifest.compose.reading import ComposeService, Port


def port_of(*command: str, ports: tuple[Port, ...] = (), expose: tuple[str, ...] = ()) -> int:
    environment = {"POSTGRES_PASSWORD": "pw", "PORT": "5431"}
    service = ComposeService(
        key="db", image="postgres:16", environment=environment, command=command, ports=ports, expose=expose
    )
    return image.config_of(service).port


@pytest.mark.parametrize(
    ("command", "port"),
    [
        (("postgres", "-p", "5431"), 5431),
        (("-p5431",), 5431),
        (("postgres", "--port=5431"), 5431),
        (("postgres", "-c", "port=5431"), 5431),
        (("sh", "-c", "exec docker-entrypoint.sh postgres -p $PORT"), 5431),
        (("sh", "-c", "postgres | tee /log"), 5432),
        ((), 5432),
    ],
)
def test_another_port_in_the_container_is_that_port(command: tuple[str, ...], port: int) -> None:
    """Wherever the command says it."""
    assert port_of(*command) == port


@pytest.mark.parametrize(
    ("command", "ports", "port"),
    [
        (("/start.sh",), (Port(host=5432, container=5431),), 5431),
        (("sh", "-c", "postgres | tee /log"), (Port(host=0, container=5431), Port(host=1, container=5431)), 5431),
        (("/start.sh",), (Port(host=5432, container=5431), Port(host=8008, container=8008)), 5432),
        (("/start.sh",), (Port(host=53, container=53, protocol="udp"),), 5432),
        (("postgres",), (Port(host=5432, container=5431),), 5432),
    ],
)
def test_the_published_port_counts_where_the_command_cannot_be_read(
    command: tuple[str, ...], ports: tuple[Port, ...], port: int
) -> None:
    """A command that can be read knows better: a wrong port in the file is nobody's but its own."""
    assert port_of(*command, ports=ports) == port


def test_an_exposed_port_is_as_good() -> None:
    """Where nothing is published."""
    assert port_of("/start.sh", expose=("5431/tcp",)) == 5431
