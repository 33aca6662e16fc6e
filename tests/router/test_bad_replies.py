"""Whatever an adapter raises over what a deployment answers, it is the deployment's: the call goes elsewhere.

Over sockets, sync and async. What the encoder raises is the caller's, what credentials raise the deployment's.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import in_flight, row
from tests.router.test_faults import Ask, ask_async, ask_async_stream, ask_sync, ask_sync_stream
from turnout import AuthenticationError, BadRequestError, InvalidReplyError, Provider, Router
from turnout.engine import send
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage
from turnout.strategies import SimpleShuffle
from turnout_adapters.adapter import HTTPReply, HTTPRequest, Target, WireCall
from turnout_adapters.responses import ResponsesDecoder, ResponsesWire
from turnout_adapters.types import PREAMBLE_EVENTS, StreamEvent

KEY = "key-of-the-odd-deployment"


class Broken(Exception):
    """What no adapter should raise."""


def broken(*_: object, **__: object) -> Any:
    raise Broken(f"no such field in {KEY}")


class OddDecoder:
    """Fails in one place, of a stream that has shown its output or not."""

    def __init__(self, fault: str) -> None:
        self._inner, self._fault, self._shown, self._late = ResponsesDecoder(), fault, False, False

    @property
    def failure(self) -> None:
        if self._fault == "failure" or (self._fault == "late failure" and self._late):
            broken()

    @property
    def usage(self) -> None:
        if self._fault == "usage":
            broken()

    def feed(self, data: bytes) -> list[StreamEvent]:
        self._late = self._shown
        if self._fault == "feed" or (self._fault == "late feed" and self._late):
            broken()
        found = self._inner.feed(data)
        self._shown = self._shown or any(event.type not in PREAMBLE_EVENTS for event in found)
        if self._fault == "shape":
            found[-1].sequence_number = "many"  # type: ignore[assignment]
        return found

    def cut(self) -> list[StreamEvent]:
        return broken() if self._fault == "cut" else self._inner.cut()

    def close(self) -> list[StreamEvent]:
        return broken() if self._fault == "close" else self._inner.close()


class OddWire(ResponsesWire):
    """The usual wire, with one method that fails."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.two_steps = fault == "follow"

    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return broken() if self.fault == "request" else super().request(call, target)

    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> None:
        return broken() if self.fault == "follow" else super().follow(call, target, reply)

    def response(self, call: WireCall, reply: HTTPReply) -> Any:
        return broken() if self.fault == "response" else super().response(call, reply)

    def decoder(self, call: WireCall) -> Any:
        return broken() if self.fault == "decoder" else OddDecoder(self.fault)

    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        return broken() if self.fault == "error" else super().error(reply, provider, now)


def router_with(cloud: FakeCloud, fault: str, **settings: Any) -> Router:
    """The odd deployment first, and a good one after it."""
    odd = Provider("odd", None, wires=("odd",), adapters={"odd": lambda _: OddWire(fault)})
    rows = [
        row(cloud, "eastus", model="odd/gpt", api_key=KEY),
        row(cloud, "westus", order=2),
    ]
    return Router(rows, providers=[odd], **settings)


def charged(router: Router) -> Mapping[str, int]:
    assert in_flight(router) == 0
    return {one.id: one.consecutive_failures for one in router.status()}


BEFORE_OUTPUT = [
    ("response", ask_sync), ("response", ask_async), ("follow", ask_sync), ("follow", ask_async_stream),
    ("error", ask_sync), ("error", ask_async), ("error", ask_sync_stream), ("error", ask_async_stream),
    *((fault, ask) for fault in ("decoder", "feed", "failure", "shape") for ask in (ask_sync_stream, ask_async_stream)),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "ask"), BEFORE_OUTPUT)
def test_the_call_goes_elsewhere_and_the_deployment_is_charged(
    cloud: FakeCloud, fault: str, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    if fault == "error":
        cloud["eastus"].set_fault(outage())
    with router_with(cloud, fault) as router:
        assert "westus turn 1" in ask(router)
        assert charged(router) == {"eastus": 1, "westus": 0}
    if fault != "shape":
        assert "Broken: no such field in ***" in caplog.text
        assert "in broken" in caplog.text, "the frames of the traceback"
    assert KEY not in caplog.text


@pytest.mark.parametrize("ask", [ask_sync, ask_async_stream])
def test_headers_that_cannot_be_read_are_the_deployments_too(
    cloud: FakeCloud, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = iter((broken, send.remaining))
    monkeypatch.setattr(send, "remaining", lambda *given: next(reads)(*given))
    with router_with(cloud, "none") as router:
        assert "westus turn 1" in ask(router)
        assert charged(router) == {"eastus": 1, "westus": 0}


@pytest.mark.parametrize("stream", [False, True])
def test_with_nowhere_else_to_go_it_is_an_invalid_reply_that_tells_no_secret(cloud: FakeCloud, stream: bool) -> None:
    fault = "feed" if stream else "response"
    with router_with(cloud, fault, num_retries=0) as router, pytest.raises(InvalidReplyError) as caught:
        router.responses("gpt", "hi", stream=stream)
    assert (caught.value.provider, caught.value.deployment) == ("odd", "eastus")
    assert [one.outcome for one in caught.value.attempts] == ["deployment"]
    assert caught.value.__cause__ is None, "what it came from tells the key"


@pytest.mark.parametrize("fault", ["late feed", "late failure", "close", "cut", "usage"])
@pytest.mark.parametrize("run_async", [False, True])
def test_after_the_first_output_the_stream_ends_as_failed(cloud: FakeCloud, fault: str, run_async: bool) -> None:
    if fault in ("close", "cut", "usage"):
        cloud["eastus"].set_fault(Fault("cut", events=7))
    else:
        cloud["eastus"].word_seconds = 0.01

    async def read(router: Router) -> tuple[list[Any], Any]:
        async with await router.aresponses("gpt", "hi", stream=True) as stream:
            return [event async for event in stream], stream.error

    with router_with(cloud, fault) as router:
        if run_async:
            events, error = asyncio.run(read(router))
        else:
            stream = router.responses("gpt", "hi", stream=True)
            events, error = list(stream), stream.error
        kinds = [event.type for event in events]
        assert kinds[-1] == "response.failed"
        assert "response.output_item.added" in kinds
        assert error is not None
        assert KEY not in f"{error} {events[-1].to_json()}"
        assert charged(router) == {"eastus": 1, "westus": 0}
        assert cloud["westus"].requests == 0


@pytest.mark.parametrize("ask", [ask_sync, ask_async, ask_sync_stream, ask_async_stream])
def test_what_the_encoder_cannot_write_is_the_callers(cloud: FakeCloud, ask: Ask) -> None:
    with router_with(cloud, "request") as router:
        with pytest.raises(BadRequestError, match="cannot be written in the form of odd"):
            ask(router)
        assert charged(router) == {"eastus": 0, "westus": 0}
    assert cloud["eastus"].requests == cloud["westus"].requests == 0


class OddAuth:
    """Credentials that cannot be used."""

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def ready(self, now: float) -> bool:
        return broken() if self._fault == "ready" else self._fault != "refresh"

    def refresh(self, fetch: object, now: float) -> None:
        broken()

    def apply(self, request: HTTPRequest) -> HTTPRequest:
        return broken()

    def forget(self) -> None:
        raise AssertionError("they were never refused")

    def secrets(self) -> list[str]:
        return []


@pytest.mark.parametrize("fault", ["ready", "refresh", "apply"])
@pytest.mark.parametrize("ask", [ask_sync, ask_async_stream])
def test_credentials_that_fail_are_the_deployments(
    cloud: FakeCloud, ask: Ask, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with router_with(cloud, "none") as router:
        target = router._fleet.deployments["eastus"].spec.target
        object.__setattr__(target, "auth", OddAuth(fault))
        assert "westus" in ask(router)
        assert charged(router) == {"eastus": 1, "westus": 0}
        with pytest.raises(AuthenticationError) as caught:
            router.responses("gpt", "hi", num_retries=0)
    assert KEY not in f"{caught.value} {caught.value.__cause__!r}"


class Fussy(SimpleShuffle):
    """A user's strategy with a mistake in it."""

    def pick(self, candidates: Any, pick: Any) -> Any:
        raise Broken("mine")


class Picky:
    """A user's check with a mistake in it."""

    def reject(self, deployment: object, call: object) -> str | None:
        raise Broken("mine")


def test_what_a_users_own_code_raises_is_no_reply(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus"), row(cloud, "westus")]
    for settings in ({"routing_strategy": Fussy()}, {"optional_pre_call_checks": [Picky()]}):
        with Router(rows, **settings) as router:
            with pytest.raises(Broken, match="mine"):
                router.responses("gpt", "hi")
            assert charged(router) == {"eastus": 0, "westus": 0}


def test_the_log_is_the_standard_librarys(cloud: FakeCloud, caplog: pytest.LogCaptureFixture) -> None:
    with router_with(cloud, "response") as router:
        router.responses("gpt", "hi")
    (found,) = [record for record in caplog.records if "could not be read" in record.getMessage()]
    assert (found.name, found.levelno, found.exc_info) == ("turnout", logging.ERROR, None)
