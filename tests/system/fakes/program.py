"""A project's own program: a service that counts the items of its database."""

from pathlib import Path

from tests.system.conftest import Bay

SERVICE = """
import http.server
import os
import sys

import psycopg


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM items").fetchall()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(count).encode())


if "--fail" in sys.argv:
    sys.exit("no configuration")
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def with_service(bay: Bay, start: str) -> None:
    """Give the project a service to start."""
    (bay.service / "serve.py").write_text(SERVICE)
    manifest: Path = bay.service / "testbay.toml"
    manifest.write_text(f'start = "{start}"\nready = "/"\n' + manifest.read_text())
