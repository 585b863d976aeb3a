"""NATS with JetStream as a server: finding, planning, configuring and probing it."""

import re
import signal
import sysconfig
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from testbay.harness.dependencies.endpoint import (
    Answer,
    Endpoint,
    Reading,
    Server,
    check_identity,
)
from testbay.harness.dependencies.nats import image
from testbay.harness.dependencies.nats.jetstream import Session, refusal_of
from testbay.harness.dependencies.programs import none_usable, on_system, version_of
from testbay.harness.dependencies.wire import Wire
from testbay.harness.plans import LEASES, PORT, Configured, ProcessPlan, process_plan
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.compose.recognition import version_tag, version_unknown

NAME = "nats"
TITLE = "NATS"
IMAGES = ("nats",)
DEFAULT_PORT = 14222

SHARED = "all of NATS (the compose file gives it a login of its own)"
OVERSEER = "overseer"  # the account that can see the connections of all others
_MAIN = "main"  # the stack's own account
_CONFIG = "/testbay-nats.conf"
ANSWER_LIMIT_S = 30.0
_WITHOUT_JETSTREAM = "without JetStream, as its configuration has it"


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """Find a nats-server: one with the image's major.minor version, preferably the system's; else the wheel's."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    system = next(on_system("nats-server", environ), None)
    found = [s for s in (_server(system, "system") if system else None, _server(wheel, "wheel")) if s]
    if not found:
        raise none_usable("no nats-server program on this machine", filter(None, (system, wheel)), "nats-server")
    wanted = re.match(r"\d+\.\d+", version_tag(service))
    same = [s for s in found if wanted and s.version.startswith(wanted[0] + ".")]
    best = (same or found[::-1])[0]
    major = re.match(r"\d+", version_tag(service))
    other = major is not None and not best.version.startswith(major[0] + ".")
    if unknown := version_unknown(service):
        return replace(best, note=f"perhaps another version than in {unknown}")
    return replace(best, note=f"another major version than {service.based_on.partition('@')[0]}") if other else best


def _server(program: Path, source: str) -> Server | None:
    version = version_of(program, r"v(\d+(?:\.\d+)+)")
    return Server(program=program, version=version, source=source) if version else None


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """Plan JetStream in the stack's own folder, with the compose file's other settings."""
    config = image.config_of(service)
    argv = [str(server.program), "-a", "127.0.0.1", "-p", PORT, "-n", home.parent.name]
    argv += ["-js", "-sd", str(home / "jetstream"), *config.carried_flags, "-c", str(home / "nats.conf")]
    text = config.text(embedded=True) + ("" if config.own_access else _accounts(service.stack_password))
    # The configuration may name the container's variables.
    variables = {name: value for name, value in service.environment.items() if f"${name}" in text}
    # SIGKILL: the store is thrown away; an orderly stop would only flush it.
    return process_plan(
        NAME,
        home,
        argv,
        port=DEFAULT_PORT,
        stop_signal=signal.SIGKILL,
        files={"nats.conf": text},
        env=variables,
        reads=server.reads,
    )


def described(service: ComposeService) -> Reading:
    """Read the service as its image does; both engines use the result.

    Raises:
        ManifestError: Its configuration cannot be read, or admits only clients with keys.
    """
    config = image.config_of(service)
    return Reading(
        user=config.login.user,
        password=config.login.password,
        port=config.port,
        argv=tuple(config.carried_flags),
        data=config.data,
        shared=SHARED if config.own_access else "",
        notes=config.notes,
    )


def notes(service: ComposeService, server: Server) -> tuple[str, ...]:  # noqa: ARG001 - the Protocol's
    """List the settings that have no counterpart outside a container."""
    return image.config_of(service).left_out


def configured(service: ComposeService) -> Configured | None:
    """Configure the same accounts in a container, for one server alone; one with its own logins keeps these."""
    config = image.config_of(service)
    if config.own_access and not config.peers:
        return None
    command = [*config.container_flags, "--config", _CONFIG]
    text = config.text(embedded=False) + ("" if config.own_access else _accounts(service.stack_password))
    return {"service": service.key, "command": command, "target": _CONFIG, "content": text, "environment": {}}


def _accounts(password: str) -> str:
    """An account for the stack and one for each lease; without a password, anonymous clients get the stack's.

    Accounts share neither subjects nor streams nor consumers.
    """

    def users(name: str) -> str:
        return f'users: [ {{ user: {name}, password: "{login_as(name, password).password}" }} ]'

    names = [_MAIN, *(f"lease{number}" for number in range(1, LEASES + 1))]
    accounts = [f"  {name}: {{ jetstream: enabled, {users(name)} }}" for name in names]
    anyone = [] if password else [f"no_auth_user: {_MAIN}"]
    overseer = f"  {OVERSEER}: {{ {users(OVERSEER)} }}"
    return "\n".join(["accounts {", *accounts, overseer, "}", *anyone, f"system_account: {OVERSEER}", ""])


def login_as(account: str, password: str) -> image.Login:
    """The login of one of our accounts: the stack's password, else the account's own name."""
    return image.Login(account, password or account)


def further(service: ComposeService, server: Server) -> ProcessPlan | None:  # noqa: ARG001 - the Protocol's
    """Plan no further server: an account separates tests just as well."""
    return None


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """The endpoint on loopback. With a login from the compose file, all leases share what that login sees."""
    config = image.config_of(service)
    ours = login_as(_MAIN, service.stack_password) if service.stack_password else image.Login()
    login = config.login if config.own_access else ours
    return Endpoint(
        name=NAME,
        title=TITLE,
        host="localhost",
        port=port,
        user=login.user,
        password=login.password,
        shared=SHARED if config.own_access else "",
    )


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """Request JetStream's account information: the port answers before JetStream does.

    A container with its own logins keeps its configuration, which need not enable JetStream.
    """
    with Wire(endpoint, timeout_s) as wire:
        session = Session(wire, endpoint)
        check_identity(endpoint, str(session.info.get("server_name")))
        version = str(session.info.get("version", "unknown"))
        number = session.info.get("client_id")  # the server numbers its connections
        answer = Answer(version, connections=number if isinstance(number, int) else None)
        if endpoint.shared and not session.info.get("jetstream"):
            return answer._replace(note=_WITHOUT_JETSTREAM)
        refusal = refusal_of(session.request("$JS.API.INFO", {}))
        if endpoint.shared and refusal.lower() == "jetstream not enabled for account":
            return answer._replace(note=_WITHOUT_JETSTREAM)
        if refusal:
            raise OSError(refusal)
        return answer


def environment(endpoint: Endpoint) -> dict[str, str]:
    return {"NATS_URL": url(endpoint)}


def url(endpoint: Endpoint) -> str:
    """The address for NATS clients.

    Only characters that would end the login early are escaped: some clients (nats-py) do not unescape.
    """
    user, password = quote(endpoint.user, safe=image.AS_IT_IS), quote(endpoint.password, safe=image.AS_IT_IS + ":")
    login = (
        f"{user}:{password}@"
        if endpoint.user
        else f"{quote(endpoint.password, safe=image.AS_IT_IS)}@"
        if password
        else ""
    )
    return f"nats://{login}{endpoint.host}:{endpoint.port}"
