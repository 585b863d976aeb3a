"""A shop that can be made to fail in every way a service does."""

import http.server
import os
import signal
import sys

import psycopg


class Shop(http.server.BaseHTTPRequestHandler):
    """One path for each way."""

    def do_GET(self) -> None:
        """Fail as the path says."""
        match self.path:
            case "/crash":
                sys.stderr.write("shop: the ledger is corrupt, giving up\n")
                os._exit(3)
            case "/eat":
                sys.stderr.write("shop: loading the whole catalogue\n")
                os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does when memory runs out
            case "/orders":
                with psycopg.connect(os.environ["SHOP_DSN"]) as database:
                    database.execute("INSERT INTO orders VALUES (1)")
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
