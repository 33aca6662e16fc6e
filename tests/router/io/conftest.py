"""Calls over sockets in all three ways: sync, on aiohttp, and on httpcore2."""

import asyncio
import contextlib
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


def router_at(url: str, fast: bool, **settings: Any) -> Router:
    rows = [{"model_name": "g", "litellm_params": {"model": "openai/gpt-4o", "api_base": url, "api_key": "key-of-a"}}]
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
