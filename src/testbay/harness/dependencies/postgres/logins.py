"""The login that each family of PostgreSQL images derives from a service's variables."""

import re
from dataclasses import dataclass, field

from testbay.errors import ManifestError
from testbay.harness.dependencies import container
from testbay.manifest.compose.reading import ComposeService

# Images whose entrypoint is the official one's: it refuses to start without a password.
_OFFICIAL = ("postgres", "pgvector", "postgis", "timescaledb", "timescaledb-ha", "citus", "paradedb")
# The first release of each version whose image demands a password: built since 14 February 2020.
_DEMANDED_SINCE = {(9, 4): 26, (9, 5): 21, (9, 6): 17, (10,): 12, (11,): 7, (12,): 2}
# Images with variables of their own for the user, the password and the database.
_FAMILIES = {
    "crunchydata/": ("PG_USER", "PG_PASSWORD", "PG_DATABASE"),
    "sameersbn/": ("DB_USER", "DB_PASS", "DB_NAME"),
}
_LENIENT = ("cimg/", "circleci/")  # official in name, and started without a password
_SCLORG = re.compile(r"(^|/)(sclorg|centos|rhscl|rhel\d+|fedora)/")


@dataclass(frozen=True)
class Superuser:
    """The superuser, the tests' database, the password method, and further databases."""

    user: str
    password: str = field(repr=False)
    db: str
    auth: str
    further: tuple[str, ...] = ()


def login(service: ComposeService) -> Superuser:
    """The login of a service's image.

    Raises:
        ManifestError: The image would refuse to start.
    """
    if "bitnami" in service.based_on:
        return _bitnami(service)
    if "kartoza/" in service.based_on:
        return _kartoza(service)
    if _SCLORG.search(service.based_on):
        return _sclorg(service)
    own = next((names for family, names in _FAMILIES.items() if family in service.based_on), None)
    if own and service.environment.get(own[0]):
        user, password, db = (container.variable(service, name) for name in own)
        return Superuser(user, password or "postgres", db or user, "scram-sha-256")
    return _official(service)


def _official(service: ComposeService) -> Superuser:
    user = container.variable(service, "POSTGRES_USER") or "postgres"
    password = container.variable(service, "POSTGRES_PASSWORD")
    auth = service.environment.get("POSTGRES_HOST_AUTH_METHOD", "")
    if not password and _lets_everyone_in(service):
        auth = "trust"
    if not password and auth != "trust":
        if service.repository in _OFFICIAL and not any(family in service.based_on for family in _LENIENT):
            raise _no_password(service, "POSTGRES_PASSWORD", "POSTGRES_HOST_AUTH_METHOD is trust")
        password = "postgres"  # noqa: S105 - an image of the team's own may bring one; this is the usual guess
    return Superuser(user, password, container.variable(service, "POSTGRES_DB") or user, auth or "scram-sha-256")


def _lets_everyone_in(service: ComposeService) -> bool:
    """Return whether the image predates February 2020: such images start without a password and ask for none."""
    number = service.tag.partition("-")[0]
    numbers = tuple(map(int, re.findall(r"\d+", number)))
    if service.repository == "timescaledb":
        return (0,) < numbers < (1, 6, 1)
    if service.based_on.partition(":")[0].endswith("mdillon/postgis"):
        return True  # its last image is of 2019
    if service.repository != "postgres" or not numbers or numbers == (9,) or numbers >= (13,):
        return False
    parts = 1 if numbers >= (10,) else 2
    since = _DEMANDED_SINCE.get(numbers[:parts])
    if since is None or "beta" in number or "rc" in number:
        return True
    return numbers[parts:] != () and numbers[parts] < since  # `12` and `9.6` are the last release of theirs


def _no_password(service: ComposeService, name: str, unless: str) -> ManifestError:
    """The refusal that names the unset variable which left the password empty."""
    origin = service.origins.get(name, "").removeprefix("environment, ")
    empty = f", and it is empty here ({origin})" if name in service.environment else ""
    where = f"{name} in the service's environment"
    return ManifestError(
        f"service {service.key!r}: {service.based_on} does not start without {name}",
        why=f"the image's entrypoint demands a password unless {unless}{empty}",
        todo=f"set {'the variable in the shell or in .env' if ' ' in origin else where}",
    )


def _bitnami(service: ComposeService) -> Superuser:
    user = container.variable(service, "POSTGRESQL_USERNAME", "POSTGRESQL_USER", "POSTGRES_USER") or "postgres"
    password = container.variable(service, "POSTGRESQL_PASSWORD", "POSTGRES_PASSWORD")
    empty = service.environment.get("ALLOW_EMPTY_PASSWORD", "").lower() in ("yes", "true", "1")
    if not password and not empty:
        raise _no_password(service, "POSTGRESQL_PASSWORD", "ALLOW_EMPTY_PASSWORD is yes")
    db = container.variable(service, "POSTGRESQL_DATABASE", "POSTGRES_DB") or "postgres"
    return Superuser(user, password, db, "scram-sha-256" if password else "trust")


def _kartoza(service: ComposeService) -> Superuser:
    """The login of kartoza's image: the official variables beat its own; it creates every database of a list."""
    user = container.variable(service, "POSTGRES_USER") or "docker"
    password = container.variable(service, "POSTGRES_PASSWORD", "POSTGRES_PASS") or "docker"
    named = container.variable(service, "POSTGRES_DB", "POSTGRES_DBNAME") or "gis"
    first, *further = [name for part in named.split(",") if (name := part.strip())] or ["gis"]
    return Superuser(user, password, first, "scram-sha-256", tuple(further))


def _sclorg(service: ComposeService) -> Superuser:
    """The login of Red Hat's and CentOS' images: a project user, or only the administrator's password."""
    user = container.variable(service, "POSTGRESQL_USER")
    if not user:
        admin = container.variable(service, "POSTGRESQL_ADMIN_PASSWORD")
        if not admin:
            raise _no_password(service, "POSTGRESQL_PASSWORD", "POSTGRESQL_ADMIN_PASSWORD is set")
        return Superuser("postgres", admin, "postgres", "scram-sha-256")
    password, db = (container.variable(service, f"POSTGRESQL_{name}") for name in ("PASSWORD", "DATABASE"))
    if not password:
        raise _no_password(service, "POSTGRESQL_PASSWORD", "only POSTGRESQL_ADMIN_PASSWORD is set")
    return Superuser(user, password, db or user, "scram-sha-256")
