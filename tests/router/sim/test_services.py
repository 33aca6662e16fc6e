"""Regions with services over real sockets: each condition as a client sees it, whatever the region speaks."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.conftest import router_of, row
from turnout import Router
from turnout.errors import TurnoutError
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.history import HistoryRegion
from turnout.sim.plain_region import PlainRegion
from turnout.sim.region import FakeRegion
from turnout.sim.schedule import changes, parse_fault
from turnout.sim.service import Service, ServiceModel, link_spills
from turnout.sim.upstream import Upstream

FAST = ServiceModel(first_token=0.01, per_input_token=0, per_output_token=0.0001, jitter=0)
ENDLESS = ServiceModel(first_token=0.01, per_input_token=0, per_output_token=10, jitter=0)
KINDS = ["fake", "history", "plain", "anthropic", "gemini"]
_MESSAGE = {"role": "user", "content": [{"type": "text", "text": "ask-000000000001"}]}


def region_of(kind: str, model: ServiceModel, name: str = "a") -> Upstream:
    if kind == "plain":
        return PlainRegion(Service(name, model))
    made = {"fake": FakeRegion, "history": HistoryRegion, "anthropic": AnthropicRegion, "gemini": GeminiRegion}
    region = made[kind](name)
    region.service = Service(name, model)
    return region


@contextmanager
def served(kind: str, model: ServiceModel = FAST) -> Iterator[tuple[Upstream, Service]]:
    region = region_of(kind, model)
    assert region.service is not None
    with FakeCloud([region]):
        yield region, region.service


def send(region: Upstream, *, stream: bool = False) -> http.client.HTTPConnection:
    """Sends a request in the region's own form, and does not wait for the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(region.url.rpartition(":")[2]), timeout=10)
    headers = {"content-type": "application/json"}
    if isinstance(region, AnthropicRegion):
        path, headers["anthropic-version"] = "/v1/messages", "2023-06-01"
        body: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [_MESSAGE], "stream": stream}
    elif isinstance(region, GeminiRegion):
        path = "/v1beta/models/gemini-2.5-flash:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")
        body = {"contents": [{"role": "user", "parts": [{"text": "ask-000000000001"}]}]}
    else:
        path, body = "/v1/responses", {"model": "m", "input": "ask-000000000001", "stream": stream}
    connection.request("POST", path, json.dumps(body), headers)
    return connection


def ask(region: Upstream) -> tuple[int, dict[str, str], dict[str, Any]]:
    connection = send(region)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
    connection.close()
    return found


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in ten seconds")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("condition", "status"), [("unavailable", 503), ("expired", 401), ("overloaded", 529), ("throttled", 429)]
)
def test_refusals_have_the_provider_s_own_form(kind: str, condition: str, status: int) -> None:
    with served(kind) as (region, service):
        service.change(condition, value=True)
        found, _, body = ask(region)
        assert found == status
        if kind == "anthropic":
            names = {401: "authentication_error", 429: "rate_limit_error", 503: "api_error", 529: "overloaded_error"}
            assert body["error"]["type"] == names[status]
        elif kind == "gemini":
            assert body["error"]["code"] == status
        else:
            assert set(body["error"]) == {"message", "type", "param", "code"}
        service.change(condition, value=False)
        assert ask(region)[0] == 200
        assert region.statuses == {status: 1, 200: 1}


@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_end_in_500(kind: str) -> None:
    with served(kind) as (region, service):
        service.change("errors", 1.0)
        assert ask(region)[0] == 500
        service.change("errors", 0.0)
        assert ask(region)[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_connection_is_reset(kind: str) -> None:
    with served(kind) as (region, service):
        service.change("refused", value=True)
        with pytest.raises(ConnectionError):
            send(region).getresponse()
        service.change("refused", value=False)
        assert ask(region)[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_region_takes_requests_and_never_answers(kind: str) -> None:
    with served(kind) as (region, service):
        service.change("silent", value=True)
        connection = send(region)
        until(lambda: region.in_flight == 1)
        assert connection.sock is not None
        connection.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        until(lambda: region.in_flight == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_wait_for_a_slot_in_order_and_whoever_goes_away_frees_his_at_once(kind: str) -> None:
    with served(kind, ServiceModel(first_token=3600, concurrency=1)) as (region, service):
        slots = service.slots
        assert slots is not None
        connections = []
        for number in range(3):
            connections.append(send(region))
            until(lambda number=number: region.in_flight == number + 1)
        assert (slots.working, len(slots.waiting), service.under_way) == (1, 2, 1)
        connections[1].close()
        until(lambda: len(slots.waiting) == 1)
        assert slots.working == 1
        connections[0].close()
        until(lambda: not slots.waiting)
        assert (slots.working, service.under_way) == (1, 1)
        connections[2].close()
        until(lambda: slots.working == 0 and region.in_flight == 0)
        assert service.under_way == 0


def test_answers_come_in_the_order_of_the_line() -> None:
    order: list[int] = []
    with served("fake", ServiceModel(first_token=0.05, per_output_token=0.001, jitter=0, concurrency=1)) as (region, _):

        def call(number: int) -> None:
            assert ask(region)[0] == 200
            order.append(number)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda number=number: region.requests > number)
        for thread in threads:
            thread.join(10)
    assert order == [0, 1, 2, 3]


def test_what_is_no_work_for_the_model_needs_no_slot() -> None:
    with served("fake") as (region, service):
        made = ask(region)[2]["id"]
        service.model = ServiceModel(first_token=3600)
        service.slots = Service("full", ServiceModel(concurrency=1)).slots
        busy = send(region)
        until(lambda: region.in_flight == 1)
        connection = http.client.HTTPConnection("127.0.0.1", int(region.url.rpartition(":")[2]), timeout=10)
        connection.request("GET", f"/v1/responses/{made}")
        assert connection.getresponse().status == 200
        connection.close()
        busy.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_a_stream_are_spread_over_its_time(kind: str) -> None:
    with served(kind, ENDLESS) as (region, service):
        connection = send(region, stream=True)
        answer = connection.getresponse()
        assert answer.status == 200
        first = answer.read1(10_000)
        assert b"data: " in first
        assert b"completed" not in first
        assert b"message_stop" not in first
        assert (region.in_flight, service.under_way) == (1, 1)
        connection.close()
        answer.close()
        until(lambda: region.in_flight == 0)
        assert service.under_way == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_not_cut_is_whole(kind: str) -> None:
    with served(kind) as (region, _):
        connection = send(region, stream=True)
        text = connection.getresponse().read()
        connection.close()
    assert {"anthropic": b"message_stop", "gemini": b"STOP"}.get(kind, b"response.completed") in text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_break_off_in_the_middle(kind: str, stream: bool) -> None:
    with served(kind) as (region, service):
        service.change("cut", 1.0)
        connection = send(region, stream=stream)
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            answer.read()
        connection.close()
        until(lambda: region.in_flight == 0)


LIMITED = ServiceModel(first_token=0.01, per_output_token=0.0001, jitter=0, tpm=60_000, rpm=1, burst=60)


def test_openai_s_headers_of_limits() -> None:
    with served("fake", LIMITED) as (region, _):
        status, headers, _ = ask(region)
        assert (status, headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == (
            200,
            "1",
            "0",
        )
        assert headers["x-ratelimit-limit-tokens"] == "60000"
        assert 59_000 < int(headers["x-ratelimit-remaining-tokens"]) < 60_000
        status, headers, _ = ask(region)
        assert (status, headers["x-ratelimit-remaining-requests"]) == (429, "0")
        assert 55 <= int(headers["retry-after"]) <= 61
        assert 55_000 < int(headers["retry-after-ms"]) <= 60_001


@pytest.mark.parametrize("skew", [0.0, 3600.0])
def test_anthropic_tells_resets_by_its_own_clock(skew: float) -> None:
    with served("anthropic", LIMITED) as (region, service):
        service.change("skew", skew)
        ask(region)
        status, headers, _ = ask(region)
        assert status == 429
        assert not any(name.startswith("x-ratelimit") for name in headers)
        assert 55 <= int(headers["retry-after"]) <= 61
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-tokens-limit"] == "60000"
        reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"]).timestamp()
        assert abs(reset - time.time() - skew - 60) < 10
        assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time() - skew) < 10


def test_gemini_says_when_to_come_back_in_the_body() -> None:
    with served("gemini", LIMITED) as (region, _):
        ask(region)
        status, headers, body = ask(region)
        assert status == 429
        assert "retry-after" not in headers
        (told,) = body["error"]["details"]
        assert 55 < float(told["retryDelay"].rstrip("s")) <= 60


def test_provisioned_throughput_says_milliseconds_only() -> None:
    with served("fake", ServiceModel(first_token=0.01, tpm=60, burst=1, ptu=True)) as (region, _):
        ask(region)
        status, headers, _ = ask(region)
        assert status == 429
        assert int(headers["retry-after-ms"]) > 0
        assert not {name for name in headers if name == "retry-after" or name.startswith("x-ratelimit")}


def test_a_full_provisioned_region_spills_to_the_slots_of_another() -> None:
    provisioned = region_of("fake", ServiceModel(first_token=0.01, tpm=60, burst=1, ptu=True, spill="b"))
    other = region_of("fake", ServiceModel(first_token=3600, concurrency=1), "b")
    services = {region.name: region.service for region in (provisioned, other) if region.service is not None}
    link_spills(services)
    with FakeCloud([provisioned, other]) as cloud:
        assert ask(cloud["a"])[0] == 200
        spilled = send(cloud["a"])
        until(lambda: services["b"].under_way == 1)
        assert services["a"].under_way == 0
        spilled.close()
        until(lambda: services["b"].under_way == 0)


def test_a_schedule_plays_over_sockets_and_a_region_that_is_down_does_not_listen() -> None:
    regions = [region_of("fake", FAST, name) for name in ("a", "b")]
    happened: list[str] = []
    with FakeCloud(regions) as cloud:
        faults = [parse_fault("a down 0-0.3s"), parse_fault("b unavailable 0.1s-")]
        cloud.play(changes(faults, ["a", "b"]), lambda change: happened.append(change.region))
        until(lambda: not cloud.is_up("a"))
        with pytest.raises(ConnectionRefusedError):
            send(cloud["a"])
        until(lambda: cloud.is_up("a"))
        assert ask(cloud["a"])[0] == 200
        assert ask(cloud["b"])[0] == 503
    assert happened == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("condition", "value", "outcome"),
    [
        ("refused", True, "deployment"),
        ("unavailable", True, "deployment"),
        ("silent", True, "deployment"),
        ("errors", 1.0, "deployment"),
        ("cut", 1.0, "deployment"),
        ("expired", True, "deployment"),
        ("overloaded", True, "provider"),
        ("throttled", True, "throttle"),
    ],
)
def test_the_router_goes_elsewhere(condition: str, value: Any, outcome: str) -> None:
    ill, well = region_of("fake", FAST, "a"), region_of("anthropic", FAST, "b")
    assert ill.service is not None
    ill.service.change(condition, value)
    with FakeCloud([ill, well]) as cloud:
        first, other = row(cloud, "a", order=1), row(cloud, "b", order=2)
        other["litellm_params"] |= {"model": "anthropic/claude-sonnet-4-5"}
        with Router([first, other], attempt_timeout=0.5, timeout=20) as router:
            response = router.responses("gpt", "ask-000000000001")
    assert [(one.deployment, one.outcome) for one in response.route.attempts] == [("a", outcome), ("b", "ok")]


def test_a_stream_that_is_cut_ends_as_failed() -> None:
    region = region_of("fake", ServiceModel(first_token=0.01, per_output_token=0.1, jitter=0))
    assert region.service is not None
    region.service.change("cut", 1.0)
    with FakeCloud([region]) as cloud, router_of(cloud, timeout=20) as router:
        with router.responses("gpt", "hi", stream=True, metadata={"words": "10"}) as stream:
            kinds = [event.type for event in stream]
        assert kinds[-1] == "response.failed"
        assert isinstance(stream.error, TurnoutError)
