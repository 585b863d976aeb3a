"""A keyspace as a file: a JSON object for each key, restorable into any server of the protocol.

Values are written by type, not as DUMP does: a dump fits one server version, and secrets could be neither found in it
nor removed. Only values without a core type (JSON documents, bloom filters) are kept as dumps.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.state import ANSWER_LIMIT_S, Lines, Taken, from_json, read_lines, shown, to_json

FILE = "dragonfly.jsonl"
LIMIT_BYTES = 10 << 20

# Answers as plain lists, whatever a version of redis-py asks the server for; version 4 knows nothing else.
OLD_ANSWERS: dict[str, Any] = {} if redis.__version__.startswith("4.") else {"protocol": 2}

_SHOWN_KEYS = 500


def keep(endpoint: Endpoint) -> Taken:
    """Write every key with its type, its remaining time to live, and its value."""
    try:
        with _client(endpoint) as client:
            lines, left = Lines(LIMIT_BYTES), int(client.dbsize())
            for key in client.scan_iter(count=1000):
                left -= _keep_key(client, key, lines)
                if lines.late:
                    break
    except redis.RedisError as error:
        raise OSError(str(error)) from None
    return Taken(lines.text(), f"{left} keys" if left > 0 else "")


def _client(endpoint: Endpoint) -> redis.Redis:
    return redis.Redis(
        host=endpoint.host,
        port=endpoint.port,
        db=int(endpoint.db or 0),
        username=endpoint.user or None,
        password=endpoint.password or None,
        socket_timeout=ANSWER_LIMIT_S,
        socket_connect_timeout=ANSWER_LIMIT_S,
        retry=Retry(NoBackoff(), 0),
        client_name="testbay",
        **OLD_ANSWERS,
    )


def _keep_key(client: Any, key: bytes, lines: Lines) -> bool:
    with client.pipeline(transaction=False) as asked:
        kind, ttl_ms, size = asked.type(key).pttl(key).memory_usage(key).execute(raise_on_error=False)
    if kind == b"none":
        return True  # it expired while we looked
    if not lines.has_room(size if isinstance(size, int) else 0):
        return False
    fact = {"key": to_json(key), "type": kind.decode(), "ttl_ms": ttl_ms if ttl_ms >= 0 else None}
    return lines.write(fact | {"value": _value(client, key, kind.decode())})


def _value(client: Any, key: bytes, kind: str) -> Any:
    def pairs(fields: Mapping[bytes, bytes] | None) -> list[list[Any]]:
        return [[to_json(field), to_json(value)] for field, value in (fields or {}).items()]

    match kind:
        case "list":
            value: Any = [to_json(item) for item in client.lrange(key, 0, -1)]
        case "set":
            value = [to_json(item) for item in sorted(client.smembers(key))]
        case "hash":
            value = pairs(client.hgetall(key))
        case "zset":
            value = [[to_json(member), str(score)] for member, score in client.zrange(key, 0, -1, withscores=True)]
        case "stream":
            entries = [[number.decode(), pairs(fields)] for number, fields in client.xrange(key)]
            groups = [[to_json(g["name"]), g["last-delivered-id"].decode()] for g in client.xinfo_groups(key)]
            value = {"entries": entries, "groups": groups}
        case _:
            value = to_json((client.get(key) if kind == "string" else client.dump(key)) or b"")
    return value


def restore(endpoint: Endpoint, file: Path) -> list[str]:
    """Restore every key, with the time to live it had when it was kept."""
    refused = []
    with _client(endpoint) as client:
        for fact in read_lines(file):
            commands = _commands(fact)
            try:
                with client.pipeline(transaction=False) as told:
                    for words in commands:
                        told.execute_command(*words)
                    told.execute()
            except redis.ResponseError as error:
                refused.append(f"key {shown(fact['key'])} ({shown(fact['type'])}): {error}")
            except redis.RedisError as error:
                raise OSError(str(error)) from None
    return refused


def _commands(fact: dict[str, Any]) -> list[list[Any]]:
    """List the commands that create the key: the file chooses values, never commands."""
    key, value, ttl_ms = from_json(fact["key"]), fact["value"], fact["ttl_ms"]
    made: list[list[Any]]
    match fact["type"]:
        case "string":
            made = [["SET", key, from_json(value)]]
        case "list":
            made = [["RPUSH", key, from_json(item)] for item in value]
        case "set":
            made = [["SADD", key, from_json(item)] for item in value]
        case "hash":
            made = [["HSET", key, from_json(field), from_json(item)] for field, item in value]
        case "zset":
            made = [["ZADD", key, float(score), from_json(member)] for member, score in value]
        case "stream":
            made = [
                ["XADD", key, number, *[from_json(word) for pair in fields for word in pair]]
                for number, fields in value["entries"]
            ]
            made += [["XGROUP", "CREATE", key, from_json(group), last, "MKSTREAM"] for group, last in value["groups"]]
        case _:
            made = [["RESTORE", key, 0, from_json(value)]]
    return [*made, ["PEXPIRE", key, int(ttl_ms)]] if ttl_ms is not None else made


def view(file: Path) -> Iterator[str]:
    """A line for each key, for a machine without a client."""
    count = 0
    for count, fact in enumerate(read_lines(file), 1):
        ttl = f", {fact['ttl_ms'] / 1000:g} s to live" if fact["ttl_ms"] is not None else ""
        if count <= _SHOWN_KEYS:
            yield f"{shown(fact['key'])}  ({shown(fact['type'])}{ttl})  {shown(fact['value'])}"
    yield f"{count} keys" if count <= _SHOWN_KEYS else f"… {count - _SHOWN_KEYS} more in {file.name}"
