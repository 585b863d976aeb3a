"""Messages lose what changes and keep what tells them apart."""

import pytest

from error_monitor.patterns.masking import masked, shown


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("order 293473 not found", "order * not found"),
        ("coupon 'KILO8' not found", "coupon * not found"),
        ("feed 1fd3a2b4-9f0e-4c11-a2aa-0123456789ab failed", "feed * failed"),
        (
            "mail to zebra4907@example.org failed: [Errno 111] Connection refused",
            "mail to * failed: [Errno *] Connection refused",
        ),
        ("GET https://api.example.org/v1/x?id=3 timed out", "GET * timed out"),
        ('"POST /v2/54fa/servers HTTP/1.1" status: 200', '"POST * status: *'),
        ("cannot open /var/lib/shop/a b.txt", "cannot open * b.txt"),
        ("retry=3 user=root state=open", "retry=* user=* state=*"),
        ("session closed for user cyrus", "session closed for user *"),
        ("took 0.56 seconds", "took *"),
        ("took 3ms, 12 KB read", "took * read"),
        ("started Fri Jun 10 12:00:01 2005", "started *"),
        ("AES with sha256 over IPv4", "AES with sha256 over ipv4"),
        ("no such file", "no such file"),
        ("a" * 10_000, "a" * 4000),
    ],
)
def test_masked(message: str, expected: str) -> None:
    """One row: a message and its pattern."""
    assert masked(message) == expected


def test_a_verb_is_shown_whole() -> None:
    """The title of an issue is read by people."""
    assert shown('relation "orders" does not exist') == "relation * does not exist"
