"""A Railway on loopback, as far as we use it: it holds each query to the schema in `railway/`, runs it, and
can fail.
"""

import functools
import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from graphql import GraphQLError, GraphQLSchema, build_schema, graphql_sync
from tests.served import Handler, Served

TOKEN, ACCOUNT_TOKEN = "7c1e6f2a-project-token", "9b3d8c4e-account-token"
IDS = {"projectId": "11111111", "environmentId": "22222222", "serviceId": "33333333"}


@functools.cache
def schema() -> GraphQLSchema:
    """Read once."""
    return build_schema((Path(__file__).parent / "railway/schema.graphql").read_text(encoding="utf-8"))


class FakeRailway(Served):
    """`with FakeRailway() as railway:`; then `railway.environ` leads a program to it.

    `next` are answers that come instead of the right one, a status and a body each.
    """

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        self.next: list[tuple[int, str]] = []
        self.asked = 0
        self.violations: list[str] = []
        self.before: Callable[[], None] = lambda: None  # called with each request, ahead of its answer
        self.hangs = threading.Event()
        self.hangs.set()

    def __enter__(self) -> Self:
        self.environ = {
            "RAILWAY_API_URL": f"{self.serve(_handler(self))}/graphql/v2",
            "RAILWAY_TOKEN": TOKEN,
            "RAILWAY_ENVIRONMENT": IDS["environmentId"],
        }
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs.set()
        super().__exit__()

    def deploy(self, commit: str, status: str) -> dict[str, Any]:
        """A deployment, newer than the ones before; without a commit it was uploaded."""
        meta: dict[str, Any] = {"reason": "deploy", "commitMessage": "Say Not Authorized in fewer words"}
        meta |= {"commitHash": commit, "branch": "main"} if commit else {"cliCaller": "railway up"}
        number = len(self.deployments)
        made = {
            **IDS,
            "id": str(number),
            "createdAt": f"2026-11-21T12:{number:02}:00.000Z",
            "status": status,
            "meta": meta,
        }
        self.deployments.insert(0, made)
        return made

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """One request."""
        self.asked += 1
        self.hangs.wait(20)
        self.before()
        if self.next:
            return self.next.pop(0)
        content = json.loads(body)
        if path != "/graphql/v2" or headers["content-type"] != "application/json":
            return self._violation(404, f"{path} {headers['content-type']}")
        if extra := set(content) - {"query", "variables", "operationName"}:
            return self._violation(400, f"{extra}")
        allowed = headers.get("project-access-token") == TOKEN
        allowed = allowed or headers.get("authorization") == f"Bearer {ACCOUNT_TOKEN}"
        found = graphql_sync(
            schema(),
            content["query"],
            _Root(self.deployments, allowed=allowed),
            variable_values=content.get("variables"),
            operation_name=content.get("operationName"),
        )
        if [error for error in found.errors or () if error.message != "Not Authorized"]:
            return self._violation(400, json.dumps(found.formatted))
        return 200, json.dumps(found.formatted)

    def _violation(self, status: int, what: str) -> tuple[int, str]:
        self.violations.append(what)
        return status, json.dumps({"errors": [{"message": what}]})


class _Root:
    """Resolves the query; a field without a value would be null, which the schema says where it must not be."""

    def __init__(self, deployments: list[dict[str, Any]], *, allowed: bool) -> None:
        self._deployments = deployments
        self._allowed = allowed

    def deployments(self, _: object, input: dict[str, Any], first: int = 10) -> dict[str, Any]:  # noqa: A002 - Railway's
        """The newest first, of the service that was asked for."""
        if not self._allowed or not input.items() <= IDS.items():
            raise GraphQLError("Not Authorized")
        edges = [{"cursor": one["id"], "node": one} for one in self._deployments[:first]]
        return {"edges": edges, "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}}


def _handler(railway: FakeRailway) -> type[Handler]:
    class Answering(Handler):
        def do_POST(self) -> None:
            status, text = railway.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, self.body())
            if "gzip" in self.headers.get("accept-encoding", ""):
                self.reply(status, gzip.compress(text.encode()), {"Content-Encoding": "gzip"})
            else:
                self.reply(status, text.encode())

    return Answering
