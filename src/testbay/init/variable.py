"""An environment variable that a program reads."""

import re
from dataclasses import dataclass

# The words of a variable's name that tell of a server.
WORDS = {
    "postgres": {"PG", "PSQL", "POSTGRES", "POSTGRESQL", "DB", "DATABASE", "SQL", "SQLALCHEMY", "PSYCOPG2"},
    "dragonfly": {"REDIS", "VALKEY", "DRAGONFLY", "CACHE", "CELERY", "BROKER", "QUEUE", "RQ", "ARQ"},
    "nats": {"NATS"},
}
SERVERS = set().union(*WORDS.values())
MODULE = "the module or class of the settings"  # as a sample: init looks for one
# Valid values of types, by a pattern of the type's name; the first match counts.
_SAMPLES = {
    r"\b([Ll]ist|([Ff]rozen)?[Ss]et|[Tt]uple|Sequence)\b": "[]",
    r"\b([Dd]ict|Mapping|json|Json)\b": "{}",
    r"Email": "test@example.com",
    r"[Uu]rl": "http://localhost:9",
    r"\bbool\b": "true",
    r"\bint\b|Int\b|\bfloat\b|Float\b|Decimal|timedelta": "1",
    r"Path\b": ".",
    r"UUID": "00000000-0000-4000-8000-000000000000",
    r"datetime": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A variable. `required`: the program does not start without it; `sample` is a valid value of its type.

    `target` is the name its value is assigned to, `client` the server whose client takes it; empty if not known.
    `short` is its name without the project's own prefix; `is_json`: its value is a list in JSON. `beside` is the server
    whose usual port is the default of a variable that begins alike: STORE_HOST beside STORE_PORT=6379.
    """

    name: str
    default: str
    required: bool
    where: str
    sample: str = "test"
    target: str = ""
    client: str = ""
    short: str = ""
    is_json: bool = False
    beside: str = ""


def sample_of(kind: str) -> str:
    """Return a valid value of a type, by its name; for a Literal the first one."""
    if literal := re.search(r"Literal\[['\"]([^'\"]*)", kind):
        return literal[1]
    return next((sample for pattern, sample in _SAMPLES.items() if re.search(pattern, kind)), "test")
