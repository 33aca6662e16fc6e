"""Recorded exchanges, read from the corpus where it is, and fixtures of our own for everywhere else.

The corpus is found in the folder that TURNOUT_TEST_DATA names, else in `../shared/data` beside the project.
"""

import asyncio
import base64
import json
import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.servers import listening, read_request
from turnout.sim.faults import error_body
from turnout.sim.replies import encode_event, response_object, stream_events

ROOT = Path(__file__).resolve().parent.parent
RESPONSES_WIRE = (
    "openai_responses",
    "azure_openai_responses",
    "azure_ai_responses",
    "xai_responses",
    "deepseek_responses",
    "openrouter_responses",
    "bedrock_mantle_responses",
)


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    id: str
    url: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: Any = None
    sse: str | None = None
    origin: str = "fixture"
    content: bytes | None = None
    """The body as it is, of a wire that is neither JSON nor events."""

    @property
    def chunked(self) -> bool:
        return self.sse is not None or self.content is not None

    @property
    def raw(self) -> bytes:
        if self.content is not None:
            return self.content
        return self.sse.encode() if self.sse is not None else json.dumps(self.body).encode()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of every event of a recorded stream."""
        lines = (self.sse or "").splitlines()
        found = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
        return [json.loads(data) for data in found if data != "[DONE]"]


def data_dir() -> Path | None:
    """The folder with recorded traffic and traces, None in a clone that has none."""
    folder = Path(os.environ.get("TURNOUT_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def need_data() -> Path:
    """The same; in CI it must be there, elsewhere the test says what it lacks."""
    folder = data_dir()
    if folder is None:
        lacking = "recorded traffic is not here: set TURNOUT_TEST_DATA to the folder that holds corpus/ and traces/"
        if os.environ.get("CI"):
            pytest.fail(lacking)
        pytest.skip(lacking)
    return folder


def recordings() -> list[Exchange]:
    """All recorded exchanges on the responses wire; empty where there is no corpus."""
    folder = data_dir()
    found: list[Exchange] = []
    for path in sorted((folder / "corpus").glob("*/*.json")) if folder else ():
        record = json.loads(path.read_text())
        if record["api"] not in RESPONSES_WIRE:
            continue
        asked, answer = record["request"], record["response"]
        found.append(
            Exchange(
                record["id"], asked["url"], asked["body"] or {}, answer["status"], answer["headers"],
                answer.get("body"), answer.get("sse_text"), record["api"],
            )
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Recording:
    """One recorded exchange on any wire."""

    id: str
    api: str
    url: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    raw: bytes
    """The answer's body."""
    stream: bool

    @property
    def model(self) -> str:
        """The model that was asked, from the body or the address."""
        named = self.request.get("model") or self.request.get("model_id")
        found = re.search(r"/models?/([^/]+?)(?::|/)(?:generate|stream|raw|converse|invoke)", unquote(self.url))
        return str(named or (found[1] if found else ""))


def all_recordings() -> list[Recording]:
    """Every recorded exchange; empty where there is no corpus."""
    folder = data_dir()
    found: list[Recording] = []
    for path in sorted((folder / "corpus").glob("*/*.json")) if folder else ():
        record = json.loads(path.read_text())
        asked, answer = record["request"], record["response"]
        text, packed = answer.get("sse_text"), answer.get("base64")
        raw = base64.b64decode(packed) if packed else (text or json.dumps(answer.get("body"))).encode()
        found.append(
            Recording(
                record["id"], record["api"], asked["url"], asked["body"] or {}, answer["status"], answer["headers"],
                raw, bool(text or packed),
            )
        )  # fmt: skip
    return found


def fixtures() -> list[Exchange]:
    """Exchanges of our own, made from the published schemas."""
    rng = random.Random(5)
    tools = [{"type": "function", "name": "lookup", "parameters": {"type": "object", "properties": {}}}]
    plain = {"model": "gpt-4o", "input": "hello"}
    calling = {**plain, "tools": tools, "tool_choice": "required", "reasoning": {"effort": "low"}}
    exchanges: list[Exchange] = []
    for name, request in (("text", plain), ("tool call", calling)):
        body = response_object(request, "eastus", 1, 12, rng)
        url = "https://api.openai.com/v1/responses"
        exchanges.append(Exchange(f"fixture {name}", url, request, 200, {"content-type": "application/json"}, body))
        sse = b"".join(map(encode_event, stream_events(body))).decode()
        asked = {**request, "stream": True}
        exchanges.append(
            Exchange(f"fixture {name} stream", url, asked, 200, {"content-type": "text/event-stream"}, None, sse)
        )
    unknown = {"type": "response.hologram.delta", "sequence_number": 2, "depth": {"z": [1, 2]}, "item_id": "holo_1"}
    body = response_object(plain, "eastus", 1, 6, rng)
    events = list(stream_events(body))
    odd = [*events[:2], unknown, *events[2:]]
    sse = (
        ": keep-alive\r\n\r\n"
        + b"".join(map(encode_event, odd)).decode().replace("\n", "\r\n")
        + "data: [DONE]\r\n\r\n"
    )
    exchanges.append(Exchange("fixture unknown event", url, {**plain, "stream": True}, 200, {}, None, sse))
    errors = (
        (400, error_body("Invalid 'temperature'", "invalid_request_error", "decimal_above_max_value", "temperature")),
        (401, error_body("Incorrect API key provided", "invalid_request_error", "invalid_api_key")),
        (404, error_body("no such model", "invalid_request_error", "model_not_found", "model")),
        (429, error_body("slow down", "requests", "rate_limit_exceeded")),
        (429, error_body("You exceeded your current quota", "insufficient_quota", "insufficient_quota")),
        (500, error_body("The server had an error", "server_error", None)),
    )
    for index, (status, error) in enumerate(errors):
        headers = (
            {"x-request-id": f"req_{index}", "retry-after-ms": "1500"}
            if status == 429
            else {"x-request-id": f"req_{index}"}
        )
        exchanges.append(Exchange(f"fixture error {index} {status}", url, plain, status, headers, error))
    return exchanges


@dataclass
class Replay:
    """A server that answers every request with one exchange, in pieces."""

    url: str = ""
    exchange: Exchange | None = None
    piece: int = 65536
    seen: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def replaying() -> Iterator[Replay]:
    """Runs a replay server in a thread."""
    replay = Replay()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(replay, reader, writer)

    with listening(talk) as replay.url:
        yield replay


async def _answer(replay: Replay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = await read_request(reader)
    replay.seen.append(asked.body)
    replay.paths.append(asked.target)
    replay.headers.append(asked.headers)
    exchange = replay.exchange
    assert exchange is not None
    data = exchange.raw
    dropped = ("transfer-encoding", "content-length", "content-encoding", "connection")
    kept = "".join(f"{name}: {value}\r\n" for name, value in exchange.headers.items() if name not in dropped)
    size = f"content-length: {len(data)}" if not exchange.chunked else "transfer-encoding: chunked"
    writer.write(f"HTTP/1.1 {exchange.status} X\r\n{kept}{size}\r\n\r\n".encode())
    for number, part in enumerate(_pieces(data, replay.piece)):
        writer.write(b"%x\r\n%s\r\n" % (len(part), part) if exchange.chunked else part)
        if number % 512 == 0:
            await writer.drain()
    if exchange.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Pieces of this size, or of random ones (0)."""
    rng, start = random.Random(len(data)), 0
    while start < len(data):
        length = size or rng.choice((1, 2, 3, 7, 40, 300, 4000))
        yield data[start : start + length]
        start += length
