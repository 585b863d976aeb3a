"""Texts that a source makes of literals."""

from pathlib import Path

import pytest
from tests.unit.init.conftest import add

from testbay.init import literals, manifest
from testbay.init.project import Project, Source


@pytest.mark.parametrize(
    "twice", ['f"{A%d}{A%d}"', '"%%s%%s" %% (A%d, A%d)', '"{}{}".format(A%d, A%d)', '"{0}{0}{1}".format(A%d, A%d)']
)
def test_text_of_itself_twice_ends(twice: str) -> None:
    """A text that doubles sixty times is passed over; all before it are read."""
    lines = [f"A{index} = {twice % (index - 1, index - 1)}" for index in range(1, 60)]

    found = dict(literals.constants(Source(path=Path("app.py"), text="\n".join(['A0 = "0123456789"', *lines]))))

    assert (found["A0"], max(map(len, found.values())) <= 4096, "A59" in found) == ("0123456789", True, False)


@pytest.mark.parametrize(
    ("code", "ports"),
    [
        ('def f(host="localhost", *, port=7000):\n    return redis.Redis(host=host, port=port)', "{ redis = 7000 }"),
        ('def f(host="a"):\n    pass\ndef g(host="localhost"):\n    return redis.Redis(host=host)', ""),
        ("pool = redis.ConnectionPool(host='localhost', port=6379)", "{ redis = 6379 }"),
        ("pool = ConnectionPool(conninfo, min_size=1)", ""),
        ("huey = RedisHuey('jobs')", "{ redis = 6379 }"),
        ("huey = RedisHuey('jobs', url=there)", ""),
        ("broker = RedisBroker(there)", ""),
        ('H = "localhost"\nr = redis.Redis(H, port=7001 if H == "localhost" else 7002)', "{ redis = 7001 }"),
        ('H = "localhost"\nr = redis.Redis(H, port=7001 if H == "cache" else 7002)', "{ redis = 7002 }"),
        ('H = "localhost"\nr = redis.Redis(H, port=7001 if H == there else 7002)', ""),
        ('r = redis.Redis("cache" if IN_CI else "localhost", 7003)', "{ redis = 7003 }"),
        ('r = redis.Redis(there if IN_CI else "localhost", 7003)', ""),
    ],
)
def test_defaults_of_functions_and_of_clients_are_addresses(project: Project, code: str, ports: str) -> None:
    """A parameter with different defaults says nothing; PostgreSQL's pools are called ConnectionPool, too."""
    made = manifest.draft(add(project, {"requirements.txt": "redis", "app.py": code}), {})

    assert [line.value for line in made.keys if line.key == "ports"] == ([ports] if ports else [])


def test_settings_in_json_may_stand_on_one_line(project: Project) -> None:
    """Each object is a group of its own."""
    text = '{"web": {"port": 80}, "db": {"host": "localhost", "user": "me", "password": "x", "dbname": "shop"}}'
    made = manifest.draft(add(project, {"requirements.txt": "psycopg", "app.py": "x = 1", "config.json": text}), {})

    assert (made.logins["postgres"].user, made.logins["postgres"].db) == ("me", "shop")
