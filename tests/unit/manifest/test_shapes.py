"""What values of a variable are of its shape."""

import pytest

from testbay.manifest.shapes import KNOWN, fault, shape

GOOD = {
    "url": ["https://shop.example", "http://u:p@10.0.0.1:8080/a?b=c", "HTTPS://[2001:db8::1]:443#x", "http://db_1."],
    "postgres-url": [
        *("postgres://db/shop", "postgresql+asyncpg://u:p%40@db:5432/shop?sslmode=require"),
        *("postgresql://u:p,w@a:5432,b:5433/shop", "postgresql://u:p@x@db"),
    ],
    "redis-url": ["redis://cache:6379/0", "rediss://:pw@cache"],
    "nats-url": ["nats://a:4222", "nats://a:4222, tls://b:4222", "wss://u:p@queue"],
    "host": ["db", "db.internal.", "10.0.0.1", "::1", "my_db-1"],
    "bool": ["true", "False", "1", "0", "YES", "off", "t", "n"],
    "int": ["0", "-7", "+7", "0012"],
    "int 1..65535": ["1", "65535"],
    "int -5..5": ["-5"],
    "secret>=32": ["x" * 32, "${" * 16],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_what_is_of_a_shape(name: str, value: str) -> None:
    """As those write it who use it."""
    assert fault(shape(name), value) == ""


def test_every_shape_is_tried() -> None:
    """None is left out above."""
    assert set(KNOWN) <= set(GOOD)


NO_SCHEME = "it does not begin with http:// or https://"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("url", "shop.example", NO_SCHEME),
        ("url", "ftp://shop.example", NO_SCHEME),
        ("url", "https://", "it has no host"),
        ("url", "https:///path", "it has no host"),
        ("url", "https://u:p@", "it has no host"),
        ("url", "https://a b/", "its host is not a name or address"),
        ("url", "https://[10.0.0.1]/", "its host is not a name or address"),
        ("url", "https://[::g]/", "its host is not a name or address"),
        ("url", "https://a:b:1/", "its host or port is missing"),
        ("url", "https://a:x/", "its host or port is missing"),
        ("url", "https://a:65536/", "its port is not within 1..65535"),
        ("url", "https://a:0/", "its port is not within 1..65535"),
        ("url", "https://${HOST}/", "it holds ${…}, which nothing here fills in"),
        ("url", " https://a", "it begins or ends with white space"),
        ("postgres-url", "mysql://db", "it does not begin with postgresql:// or postgres://"),
        ("postgres-url", "postgres://a:5432,:5433/x", "its host is not a name or address"),
        ("redis-url", "cache:6379", "it does not begin with redis:// or rediss://"),
        ("nats-url", "nats://a,b", "it does not begin with nats:// or tls:// or ws:// or wss://"),
        ("host", "db:5432", "it is not a name or address"),
        ("host", "-db", "it is not a name or address"),
        ("bool", "ja", "it is neither true nor false"),
        ("bool", "2", "it is neither true nor false"),
        ("int", "1.5", "it is not a whole number"),
        ("int", "٣", "it is not a whole number"),
        ("int 1..65535", "0", "it is not within 1..65535"),
        ("int 1..65535", "65536", "it is not within 1..65535"),
        ("secret>=32", "x" * 31, "it has 31 characters"),
        ("secret>=32", "x" * 32 + "\n", "it begins or ends with white space"),
    ],
)
def test_what_is_not_of_a_shape(name: str, value: str, why: str) -> None:
    """The reason holds nothing of the value."""
    assert fault(shape(name), value) == why
