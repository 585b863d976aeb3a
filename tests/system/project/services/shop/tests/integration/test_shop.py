"""Its servers, in their own words: importing a client of each would be the longest part of a run."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit


def test_database_is_migrated() -> None:
    import psycopg

    with psycopg.connect(os.environ["SHOP_DSN"]) as connection:
        connection.execute("INSERT INTO items (name, stock) VALUES ('tea', 3)")
        assert connection.execute("SELECT name, stock FROM items").fetchall() == [("tea", 3)]


def test_dragonfly_answers() -> None:
    url = urlsplit(os.environ["REDIS_URL"])
    login = f"AUTH {url.password}\r\n" if url.password else ""
    with socket.create_connection((url.hostname, url.port)) as connection, connection.makefile() as said:
        connection.sendall(f"{login}SET key value\r\nQUIT\r\n".encode())
        assert set(said) == {"+OK\n"}


def test_stream_is_there() -> None:
    url = urlsplit(os.environ["NATS_URL"])
    login = json.dumps({"user": url.username, "pass": url.password, "verbose": False})
    with socket.create_connection((url.hostname, url.port)) as connection, connection.makefile() as said:
        connection.sendall(f"CONNECT {login}\r\nSUB told 1\r\nPUB orders.new told 1\r\n1\r\n".encode())
        acknowledged = next(line for line in said if line.startswith(("{", "-ERR")))
    assert json.loads(acknowledged)["seq"] == 1


def test_service_process_is_measured() -> None:
    source = Path(__file__).parents[2] / "src"
    environ = {**os.environ, "PYTHONPATH": str(source)}
    service = subprocess.Popen([sys.executable, "-m", "shop.serve"], env=environ, stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    assert service.stdout.readline() == "serving\n"
    service.terminate()
    service.communicate()
