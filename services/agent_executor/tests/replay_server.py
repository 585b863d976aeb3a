#!/usr/bin/env python3
"""A small OpenAI-compatible server with recorded answers, for tests and for work without a key.

It speaks real HTTP, streaming included, needs only the standard library, and always answers the same:
the recorded answer whose `match` is the last user message, else a word-for-word echo of that message.

Recorded answers stand in replay_answers.json beside this file. An entry may have
  match       the last user message, exactly
  text        the answer; after tool calls, {results} in it stands for what the tools returned
  tool_calls  calls to make first             repeat      make them again and again, whatever they return
  delay_s     pause before every chunk that follows the first word, or before an answer in one piece
  status      answer with this HTTP error instead
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

ANSWERS = Path(__file__).with_name("replay_answers.json")
MODELS = ("gpt-4o-mini", "gpt-4o")
ROLES = {"system", "developer", "user", "assistant", "tool"}
MAX_BODY_BYTES = 4 * 1024 * 1024
CREATED = 1_700_000_000  # fixed, so that the same request has the same answer to the byte

RESULTS = "{results}"  # stands in recorded answers for what the tools returned

Json = dict[str, Any]


class BadRequestError(Exception):
    """A request OpenAI would refuse; `param` names the culprit."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def load_answers(path: Path) -> dict[str, Json]:
    """Recorded answers by the message they answer."""
    return {entry["match"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}


def validate(request: Any) -> Json:
    """The request, if OpenAI would take it."""
    if not isinstance(request, dict):
        raise BadRequestError("We could not parse the JSON body of your request.")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise BadRequestError("you must provide a model parameter", "model")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' must be a non-empty array.", "messages")
    for number, message in enumerate(messages):
        _validate_message(message, f"messages.{number}")
    if not isinstance(request.get("stream", False), bool):
        raise BadRequestError("'stream' must be a boolean.", "stream")
    if request.get("stream_options") is not None and not request.get("stream"):
        raise BadRequestError("'stream_options' is only allowed when 'stream' is enabled.", "stream_options")
    temperature = request.get("temperature", 1)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise BadRequestError("'temperature' must be a number between 0 and 2.", "temperature")
    for number, tool in enumerate(request.get("tools") or []):
        if not isinstance(tool, dict) or not isinstance(tool.get("function", {}).get("name"), str):
            raise BadRequestError("a tool needs a function with a name.", f"tools.{number}")
    return request


def _validate_message(message: Any, where: str) -> None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise BadRequestError(f"'{where}.role' must be one of {', '.join(sorted(ROLES))}.", f"{where}.role")
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise BadRequestError("a tool message needs a 'tool_call_id'.", f"{where}.tool_call_id")
    if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
        raise BadRequestError(f"'{where}.content' must be a string or an array.", f"{where}.content")


def choose(answers: dict[str, Json], messages: list[Json]) -> Json:
    """The answer to a conversation; after tool results, the recorded text, with the results put in."""
    question = next((text_of(m) for m in reversed(messages) if m["role"] == "user"), "")
    answer = answers.get(question, {"text": f"You said: {question}"})
    results = [text_of(message) for message in messages if message["role"] == "tool"]
    if results and not answer.get("repeat"):
        return {**answer, "tool_calls": [], "text": answer.get("text", "").replace(RESULTS, ", ".join(results))}
    return answer


def text_of(message: Json) -> str:
    """A message's text, whether it is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def usage_of(messages: list[Json], text: str) -> Json:
    """Token counts, taking a word for a token."""
    prompt = sum(len(text_of(message).split()) for message in messages)
    completion = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def tool_calls_of(answer: Json) -> list[Json]:
    """Recorded tool calls in OpenAI's form."""
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        }
        for number, call in enumerate(answer.get("tool_calls") or [])
    ]


def completion_of(request: Json, answer: Json) -> Json:
    """A plain chat completion."""
    calls = tool_calls_of(answer)
    text = "" if calls else answer.get("text", "")
    message: Json = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**_head(request, "chat.completion"), "choices": [choice], "usage": usage_of(request["messages"], text)}


def chunks_of(request: Json, answer: Json) -> Iterator[Json]:
    """The same answer in chunks: role, a word (or a tool call) each, the reason, the usage if asked for."""
    head = _head(request, "chat.completion.chunk")
    calls = tool_calls_of(answer)
    text = "" if calls else answer.get("text", "")
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"tool_calls": [{"index": number, **call}]} for number, call in enumerate(calls)]
    deltas += [{"content": word} for word in text.split(" ")[:1] + [f" {w}" for w in text.split(" ")[1:]]]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    ends = answer.get("ends", "tool_calls" if calls else "stop")
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": ends}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": usage_of(request["messages"], text)}


def _head(request: Json, kind: str) -> Json:
    return {"id": "chatcmpl-replay", "object": kind, "created": CREATED, "model": request["model"]}


class Handler(BaseHTTPRequestHandler):
    """One request. Every response closes or declares its length, so clients may reuse the connection."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet, and chunks at once: two small writes would wait for the client's delayed ACK.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    answers: ClassVar[dict[str, Json]] = {}

    def do_GET(self) -> None:
        """Health and the list of models."""
        if self.path == "/health":
            self._send(200, {"status": "ok", "answers": len(self.answers)})
        elif self.path == "/v1/models":
            data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "replay"} for name in MODELS]
            self._send(200, {"object": "list", "data": data})
        else:
            self._fail(404, f"Invalid URL (GET {self.path})")

    def do_POST(self) -> None:
        """Chat completions."""
        try:
            raw = self._body()
            if self.path != "/v1/chat/completions":
                self._fail(404, f"Invalid URL (POST {self.path})")
                return
            request = validate(_parsed(raw))
        except BadRequestError as exc:
            self._fail(400, str(exc), exc.param)
            return
        answer = choose(self.answers, request["messages"])
        if "status" in answer:
            self._fail(answer["status"], answer.get("text", "recorded failure"))
        elif request.get("stream"):
            self._stream(request, answer)
        else:
            time.sleep(answer.get("delay_s", 0))
            self._send(200, completion_of(request, answer))

    # The base class names it `format`; typing.override needs Python 3.12, and this file nothing but 3.11.
    def log_message(self, format: str, *args: Any) -> None:  # type: ignore[explicit-override,unused-ignore] # noqa: A002
        """Requests are not logged: the log is for what goes wrong."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True  # whatever follows cannot be told from the next request
            raise BadRequestError("a body with a Content-Length is needed.")
        return self.rfile.read(int(length))

    def _stream(self, request: Json, answer: Json) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number, chunk in enumerate(chunks_of(request, answer)):
                time.sleep(answer.get("delay_s", 0) if number > 1 else 0)  # before it are the role and the first word
                self._write_chunk(f"data: {json.dumps(chunk)}\n\n".encode())
            self._write_chunk(b"data: [DONE]\n\n")
            self._write_chunk(b"")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed or lost interest

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, status: int, message: str, param: str | None = None) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._send(status, {"error": {"message": message, "type": kind, "param": param, "code": None}})


class Server(ThreadingHTTPServer):
    """Threads end with the process: a slow answer must not keep the server alive."""

    daemon_threads = True
    block_on_close = False


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise BadRequestError("We could not parse the JSON body of your request.") from None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="OpenAI-compatible replay server: recorded answers over real HTTP, streaming included.",
        epilog="example: replay_server.py --port 8099 & OPENAI_BASE_URL=http://127.0.0.1:8099/v1 your-program",
    )
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="recorded answers (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    options = arguments()
    # The default action ends the process at once, mid-answer too; Python's own SIGINT would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Handler.answers = load_answers(options.answers)
    with Server((options.host, options.port), Handler) as server:
        sys.stdout.write(f"replay server on http://{options.host}:{server.server_port}/v1\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
