"""The table of categories: a row says which printed types and which words in the message speak for one."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A category, and what must fit: the type, the message, or both."""

    category: str
    types: re.Pattern[str] | None
    message: re.Pattern[str] | None


def _rule(category: str, *, types: str = "", modules: str = "", message: str = "") -> Rule:
    """Types are words, `*` stands for any letters; modules are the packages that types come from."""
    ways = []
    if modules:
        ways.append(rf"^(?:{'|'.join(re.escape(word) for word in modules.split())})\.")
    if types:
        words = "|".join(re.escape(word).replace(r"\*", r"\w*") for word in types.split())
        ways.append(rf"(?:^|\.)(?:{words})$")
    said = re.compile(message, re.IGNORECASE) if message else None
    return Rule(category, re.compile("|".join(ways)) if ways else None, said)


STATUS_TYPES = "HTTPException HTTPError *HTTPStatusError ClientResponseError ClientError StatusError APIStatusError"
RULES = (
    _rule("validation", types="Unicode*Error"),  # "surrogates not allowed" says nothing of rights
    _rule(
        "auth",
        message=r"authentication failed|invalid credentials|access denied for user|bad credentials|invalid password",
    ),
    _rule("logic", types="panic", message=r"runtime error|nil pointer|out of range|unwrap\(\)|index out of bounds"),
    _rule("configuration", types="ImproperlyConfigured Config*Error SettingsError NoSectionError NoOptionError"),
    _rule("configuration", types="KeyError", message=r"^'(?-i:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'$"),
    _rule(
        "configuration",
        types="FileNotFoundError PermissionError IsADirectoryError OSError",
        message=r"'[^']*(?:/etc/|/config|settings|\.(?:ya?ml|toml|ini|cfg|conf|env|pem|crt|key)')",
    ),
    _rule(
        "configuration",
        message=r"environment variable|\bnot configured\b|missing (?:required )?(?:setting|config|option)"
        r"|(?:^|\s)(?-i:[A-Z][A-Z0-9_]{2,})=\S* (?:is not|must|should)|unknown setting|invalid config"
        r"|\b(?-i:[A-Z][A-Z0-9]*_[A-Z0-9_]+) (?:is )?(?:not set|unset|missing|must be set|is required)",
    ),
    _rule("resource", types="MemoryError BrokenProcessPool WorkerLostError OutOfMemory* ResourceExhausted*"),
    _rule(
        "resource",
        message=r"no space left|out of memory|too many open files|cannot allocate memory|disk (?:is )?(?:quota|full)"
        r"|sigkill|can't start new thread|oom[- ]?kill|memory limit|\[errno (?:12|23|24|28|122)\]",
    ),
    _rule(
        "database",
        modules="sqlalchemy psycopg psycopg2 asyncpg sqlite3 aiosqlite pymysql MySQLdb mysql pymongo motor django.db"
        " peewee tortoise oracledb cx_Oracle cassandra elasticsearch opensearchpy alembic databases clickhouse_driver",
        types="OperationalError IntegrityError ProgrammingError DataError InterfaceError DatabaseError DBAPIError"
        " StatementError NoResultFound MultipleResultsFound UniqueViolation* ForeignKeyViolation* UndefinedTable*"
        " UndefinedColumn* DeadlockDetected* SerializationFailure DuplicateKeyError DoesNotExist StaleDataError"
        " PendingRollbackError *ViolationError",
    ),
    _rule("timeout", types="*Timeout* SoftTimeLimitExceeded TimeLimitExceeded *DeadlineExceeded CancelledError"),
    _rule(
        "database",
        message=r"queuepool|relation \"[^\"]+\" does not exist|duplicate key|deadlock detected|\bdatabase\b"
        r"|\bsql(?:state|alchemy|ite)?\b|too many connections|schema is at revision|could not serialize|replication"
        r"|postgres|mysql|mongo",
    ),
    _rule(
        "auth",
        types="*Auth*Error *Authentication* *Unauthorized* Forbidden* *Signature* *Token* *Credentials* AccessDenied*"
        " PermissionDenied* InvalidKeyError InvalidAudienceError InvalidIssuerError Jwt* JWT* JWSError",
    ),
    _rule("auth", types=STATUS_TYPES, message=r"\b(?:401|403)\b"),
    _rule("configuration", types="PermissionError", message=r"\[errno 13\]"),
    _rule("auth", types="PermissionError"),
    _rule("timeout", message=r"timed? ?out|timeout|deadline exceeded"),
    _rule("dependency", types="HTTPException", message=r"^5\d\d\b"),
    _rule("logic", types="HTTPException NotFound Http404"),
    _rule(
        "dependency",
        types=f"{STATUS_TYPES} RateLimit* *APIError ServiceUnavailable* BadGateway* TooManyRequests*"
        " ModuleNotFoundError ImportError PackageNotFoundError DistributionNotFound VersionConflict",
    ),
    _rule(
        "dependency",
        message=r"\b(?:429|50[0234])\b (?:from|too many|bad gateway|service|gateway|internal)|bad gateway"
        r"|service unavailable|rate[- ]limit|\bupstream\b|too many requests|declined by|third[- ]party",
    ),
    _rule(
        "network",
        types="Connect*Error BrokenPipeError gaierror herror *SSL*Error CertificateError RemoteDisconnected"
        " *ProtocolError ReadError WriteError NetworkError ProxyError ServerDisconnected* ClientOSError"
        " ClientConnector* ClientConnection* MaxRetryError NewConnectionError IncompleteRead* ChunkedEncodingError"
        " SMTP* ConnectionClosed* NoServersError TransportError AMQP* KafkaConnectionError NoBrokersAvailable"
        " EndpointConnectionError WebSocketDisconnect",
    ),
    _rule(
        "network",
        message=r"connection (?:was )?(?:refused|reset|aborted|closed|lost)|unreachable|name resolution"
        r"|name or service not known|no route to host|broken pipe|certificate|\btls\b|\bssl\b|handshake|\bdns\b"
        r"|getaddrinfo|network is down|connect call failed|address already in use"
        r"|\[errno (?:10[0-4]|11[0-3]|32|-[235])\]",
    ),
    _rule(
        "auth",
        message=r"\b(?:login|sign[- ]?in|permission|unauthori[sz]ed|forbidden|access denied|account locked"
        r"|token (?:has )?expired|signature|lacks role|not allowed|not authori[sz]ed|credentials?|401|403)\b",
    ),
    _rule(
        "resource",
        types="FileNotFoundError FileExistsError IsADirectoryError NotADirectoryError OSError IOError BlockingIOError"
        " ChildProcessError",
    ),
    _rule(
        "validation",
        modules="binascii csv struct zlib xml yaml",
        types="*Validation* JSONDecodeError Unicode*Error ParseError *ParserError *ParsingError InvalidOperation"
        " BadZipFile ExpatError ScannerError *DecodeError SchemaError InvalidURL MissingSchema ValueError BadRequest*"
        " BadParameter"
        " UnidentifiedImageError",
    ),
    _rule(
        "logic",
        types="AttributeError TypeError KeyError IndexError LookupError ZeroDivisionError ArithmeticError"
        " OverflowError FloatingPointError AssertionError NotImplementedError NameError UnboundLocalError SyntaxError"
        " IndentationError TabError StopIteration StopAsyncIteration InvalidStateError DetachedInstanceError"
        " MissingGreenlet RecursionError",
    ),
    _rule(
        "validation",
        message=r"\binvalid\b|malformed|cannot parse|could not parse|not a valid|unexpected (?:field|value|token)"
        r"|\bvalidation\b",
    ),
    _rule("configuration", message=r"\bconfig(?:uration)?\b|\bsettings?\b|misconfigured"),
    _rule("resource", message=r"\bmemory\b|\bdisk\b|\bquota\b|exhausted|\bcapacity\b"),
)
