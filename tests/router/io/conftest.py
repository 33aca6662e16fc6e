"""Calls over sockets in all three ways: sync, on aiohttp, and on httpcore2."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from turnout import Router
from turnout.io.event_loop import EventLoopIO

Call = Callable[..., Any]


def response_body(text: str) -> dict[str, Any]:
    """A complete response as the provider would write it."""
    said = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "resp_0123456789abcdef0123456789abcdef", "object": "response", "created_at": 1, "status": "completed",
        "model": "m", "output": [
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": said},
        ],
    }  # fmt: skip


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A complete answer."""
    lines = "".join(f"{line}\r\n" for line in headers)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


GOOD = json.dumps(response_body("hi")).encode()
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def events(*, ended: bool = True) -> list[bytes]:
    """A stream's frames: begun, two words, and the end."""
    response = response_body("hihi")
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **where, "part": part},
        *({"type": "response.output_text.delta", **where, "delta": "hi"} for _ in range(2)),
        *([{"type": "response.completed", "response": response}] if ended else ()),
    ]
    numbered = [{**one, "sequence_number": number} for number, one in enumerate(told)]
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in numbered]


def row_at(url: str, name: str = "a") -> dict[str, Any]:
    params = {"model": "openai/gpt-4o", "api_base": url, "api_key": f"key-of-{name}"}
    return {"model_name": "g", "litellm_params": params, "model_info": {"id": name}}


def router_at(url: str, fast: bool, *, spare: str | None = None, **settings: Any) -> Router:
    """A Router with one deployment, or with a spare that is asked second."""
    rows = [row_at(url), *([] if spare is None else [row_at(spare, "spare")])]
    if spare is not None:
        rows[1]["litellm_params"]["order"] = 2
    router = Router(rows, **{"num_retries": 0, **settings})
    assert isinstance(router._looping, EventLoopIO)
    router._looping._fast = fast
    return router


@pytest.fixture(params=["sync", "aiohttp", "httpcore2"])
def api(request: pytest.FixtureRequest) -> Callable[..., "contextlib.AbstractContextManager[Call]"]:
    """Calls through one Router, one after another, whichever way."""

    @contextlib.contextmanager
    def calling(url: str, **settings: Any) -> Iterator[Call]:
        router = router_at(url, request.param == "aiohttp", **settings)
        with asyncio.Runner() as runner, contextlib.ExitStack() as ended:
            if request.param == "sync":
                ended.callback(router.close)

                def call(**params: Any) -> Any:
                    answer = router.responses("g", "hello", **params)
                    return list(answer) if params.get("stream") else answer

            else:
                ended.callback(lambda: runner.run(router.aclose()))

                async def one(**params: Any) -> Any:
                    answer = await router.aresponses("g", "hello", **params)
                    return [event async for event in answer] if params.get("stream") else answer

                def call(**params: Any) -> Any:
                    return runner.run(one(**params))

            call.router = router  # type: ignore[attr-defined]
            yield call

    return calling
