"""The OIDC token of a GitHub job with `id-token: write`: signed, and valid for some minutes."""

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from testbay.errors import SecretMissingError

_AUDIENCE = "sts.amazonaws.com"
_TIMEOUT_S = 10.0
_PAUSES_S = (0.0, 0.5, 1.0)  # before each attempt; GitHub's own clients ask again, too
_LONGEST_BYTES = 1 << 16


def offered(environ: Mapping[str, str]) -> bool:
    """Return whether this job may ask for a token."""
    return bool(environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") and environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))


def job_token(environ: Mapping[str, str]) -> str:
    """Fetch a token for AWS.

    Raises:
        SecretMissingError: The provider refuses, fails, or answers with something else.
    """
    url = environ["ACTIONS_ID_TOKEN_REQUEST_URL"]
    url += f"{'&' if '?' in url else '?'}audience={_AUDIENCE}"
    why = ""
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        try:
            return _ask(url, environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
        except urllib.error.HTTPError as error:
            error.close()
            why = f"it answered HTTP {error.code}"
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR and error.code != http.HTTPStatus.TOO_MANY_REQUESTS:
                break
        except (OSError, http.client.HTTPException):
            why = "it cannot be reached"
        except (ValueError, KeyError, TypeError):
            why = "its answer holds no token"
            break
    raise SecretMissingError(
        f"GitHub gave this job no OIDC token: {why}",
        why="GitHub's service fails, or the job's permission has ended with the job",
        todo="run the job again; githubstatus.com reports outages",
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the request carries a credential, which must go nowhere else."""

    def redirect_request(self, *_args: object) -> None:
        return None


def _ask(url: str, bearer: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError
    headers = {"Authorization": f"bearer {bearer}", "Accept": "application/json"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was looked at above
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S) as answer:
        token = json.loads(answer.read(_LONGEST_BYTES))["value"]
    if not isinstance(token, str) or not token:
        raise ValueError
    return token


def subject(token: str) -> str:
    """The subject of a token, which a trust policy compares; read unverified, for display only."""
    try:
        body = token.split(".")[1]
        claim = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"]
        return "".join(re.findall(r"[\w:/@.*-]", claim))[:300]
    except (ValueError, KeyError, IndexError, TypeError):
        return "unreadable"
