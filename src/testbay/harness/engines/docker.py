"""The Docker engine on this machine: whether it is usable, and which images it has or can pull."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from testbay import process
from testbay.errors import EngineUnavailableError

_COMPOSE_SINCE = (2, 23, 1)  # `content` of a config
_LOOK_LIMIT_S = 10.0
_LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A Docker engine that answers on this machine."""

    address: str
    version: str
    api_version: str
    compose_version: str
    rootless: bool

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A Docker SDK client for this engine: the SDK itself ignores contexts.

        Raises:
            EngineUnavailableError: The engine stopped answering.
        """
        import docker
        from docker.errors import APIError, DockerException, NotFound

        try:
            with closing(docker.DockerClient(self.address, version=self.api_version, timeout=30)) as client:
                yield client
        except (NotFound, EngineUnavailableError):
            raise
        except APIError as error:
            raise EngineUnavailableError(
                f"the Docker engine at {self.address} answers with an error",
                why="its own words stand under evidence",
                todo="correct what they name, or use --engine embedded",
                evidence=str(error.explanation or error),
            ) from None
        except (DockerException, OSError) as error:
            raise _unreachable(self.address, str(error)) from None


def find(environ: Mapping[str, str]) -> Daemon:
    """The Docker engine that this user's CLI talks to (DOCKER_HOST, or the current context).

    Raises:
        EngineUnavailableError: No CLI, no Compose v2, another machine's engine, no answer, or no right to ask.
    """
    address = _address(environ)
    compose_version = _compose_version(environ)
    host = urlsplit(address).hostname or ""
    if not address.startswith(("unix:", "npipe:")) and host not in _LOCAL_HOSTS:
        raise EngineUnavailableError(
            f"the Docker engine is another machine's: {address}",
            why="its containers publish their ports on that machine's loopback, where no test here can reach them",
            todo="unset DOCKER_HOST (or `docker context use default`), or use --engine embedded",
        )
    answer = _cli(environ, "version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}")
    if answer.code != 0:
        raise _unreachable(address, answer.err.strip())
    security = _cli(environ, "info", "--format", "{{.SecurityOptions}}").out
    version, _, api_version = answer.out.strip().partition(" ")
    return Daemon(
        address=address,
        version=version,
        api_version=api_version,
        compose_version=compose_version,
        rootless="rootless" in security,
    )


def _address(environ: Mapping[str, str]) -> str:
    answer = _cli(environ, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return answer.out.strip() or environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _compose_version(environ: Mapping[str, str]) -> str:
    answer = _cli(environ, "compose", "version", "--short")
    if answer.code != 0:
        raise EngineUnavailableError(
            "docker has no Compose v2",
            why=answer.err.strip().partition("\n")[0] or "the plugin is not installed; v1 (docker-compose) is too old",
            todo="install the Compose plugin (`testbay explain docker has no Compose v2`), or use --engine embedded",
        )
    version = answer.out.strip().lstrip("v")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < _COMPOSE_SINCE:
        raise EngineUnavailableError(
            f"Docker Compose {version} is too old: {'.'.join(map(str, _COMPOSE_SINCE))} or newer is needed",
            why="testbay hands it configurations that stand in the compose file itself",
            todo="update the Compose plugin (`testbay explain docker has no Compose v2`), or use --engine embedded",
        )
    return version


def _unreachable(address: str, output: str) -> EngineUnavailableError:
    if "permission denied" in output.lower():
        return EngineUnavailableError(
            f"permission denied on the Docker socket {address}",
            why="your user is not in the group that may use it",
            todo="sudo usermod -aG docker $USER and log in again, or use --engine embedded",
            evidence=output,
        )
    return EngineUnavailableError(
        f"no Docker engine answers at {address}",
        why="it is not started, or it listens elsewhere",
        todo="start it, or use --engine embedded",
        evidence=output,
    )


def missing_images(daemon: Daemon, images: list[str]) -> list[str]:
    """List the images that are not on this machine.

    Raises:
        EngineUnavailableError: An image has a name that Docker does not take.
    """
    from docker.errors import APIError, ImageNotFound

    missing = []
    with daemon.client() as client:
        for image in images:
            try:
                client.images.get(image)
            except ImageNotFound:
                missing.append(image)
            except APIError as error:
                if error.status_code == HTTPStatus.BAD_REQUEST:
                    raise _not_a_name(image, str(error.explanation)) from None
                raise
    return missing


def image_id(daemon: Daemon, image: str) -> str:
    """Return the image's id, which differs from that of a later image of the same name."""
    with daemon.client() as client:
        return str(client.images.get(image).id)


def pull(daemon: Daemon, image: str, progress: Callable[[str], None]) -> None:
    """Fetch an image, and report the progress.

    Raises:
        EngineUnavailableError: The registry does not have it or cannot be reached.
    """
    from docker.errors import APIError

    with daemon.client() as client:
        try:
            for line in client.api.pull(image, stream=True, decode=True):
                if "error" in line:
                    raise _not_pullable(image, str(line["error"]))
                progress(f"pulling {image}: {line.get('status', '')} {line.get('progress', '')}")
        except APIError as error:
            raise _not_pullable(image, str(error.explanation or error)) from None


def publisher(environ: Mapping[str, str], port: int) -> str:
    """Describe the container that publishes a port of this machine; empty without one, or if no engine answers."""
    form = "container {{.Names}} ({{.Image}})"
    try:
        answer = _cli(environ, "ps", "--filter", f"publish={port}", "--format", form)
    except EngineUnavailableError:
        return ""
    return answer.out.strip().partition("\n")[0] if answer.code == 0 else ""


def _not_pullable(image: str, output: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"image {image} is not here and cannot be pulled",
        why="the registry cannot be reached, or does not have it, or wants a login",
        todo=f"`docker pull {image}` by hand, after `docker login` if it is private; or --engine embedded",
        evidence=output,
    )


def _not_a_name(image: str, output: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"{image!r} is not the name of an image",
        why="a variable in the compose file's `image:` that is not set leaves a gap",
        todo="set it in the shell or in .env, or give it a default: ${TAG:-16}; or --engine embedded",
        evidence=output,
    )


def _cli(environ: Mapping[str, str], *arguments: str) -> process.Completed:
    try:
        return process.run(["docker", *arguments], env=environ, timeout_s=_LOOK_LIMIT_S)
    except OSError:  # PermissionError where a folder on the PATH cannot be searched
        raise EngineUnavailableError(
            "no docker command on the PATH",
            why="Docker is not installed, or not for this user",
            todo="install Docker with the Compose plugin, or use --engine embedded",
        ) from None
    except subprocess.TimeoutExpired:
        raise EngineUnavailableError(
            f"docker {arguments[0]} did not answer within {_LOOK_LIMIT_S:g} s",
            why="the engine hangs, or the machine has too much to do",
            todo=f"try again; if `docker {arguments[0]}` by hand does not answer, restart Docker; or --engine embedded",
        ) from None
