"""Faults over sockets: no call is lost that could be served. Each runs sync and async, unary and streaming."""

import asyncio
import datetime as dt
import email.utils
import time
from collections.abc import Callable

import pytest

from tests.conftest import in_flight, router_of, row
from turnout import (
    APIError,
    DeadlineExceededError,
    NoDeploymentAvailable,
    NotFoundError,
    PinnedUnavailable,
    RateLimitError,
    Router,
)
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, error_body, outage, throttle

Ask = Callable[..., str]


def ask_sync(router: Router, **params: object) -> str:
    return router.responses("gpt", "hello", **params).output_text


def ask_sync_stream(router: Router, **params: object) -> str:
    with router.responses("gpt", "hello", stream=True, **params) as stream:
        for _ in stream:
            pass
    assert stream.response is not None
    assert stream.response.status == "completed", stream.error
    return stream.response.output_text


def ask_async(router: Router, **params: object) -> str:
    async def call() -> str:
        try:
            return (await router.aresponses("gpt", "hello", **params)).output_text
        finally:
            await router.aclose()

    return asyncio.run(call())


def ask_async_stream(router: Router, **params: object) -> str:
    async def call() -> str:
        try:
            async with await router.aresponses("gpt", "hello", stream=True, **params) as stream:
                async for _ in stream:
                    pass
            assert stream.response is not None
            assert stream.response.status == "completed", stream.error
            return stream.response.output_text
        finally:
            await router.aclose()

    return asyncio.run(call())


@pytest.fixture(params=[ask_sync, ask_sync_stream, ask_async, ask_async_stream])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


FAULTS = {
    "500": outage(),
    "503": outage(503),
    "429 in seconds": throttle({"retry-after": "30"}),
    "429 in ms": throttle({"retry-after-ms": "30000"}),
    "401": Fault("status", 401, error_body("Incorrect API key provided", "invalid_request_error", "invalid_api_key")),
    "deployment gone": Fault("status", 404, error_body("no such deployment", "x", "DeploymentNotFound")),
    "cut before output": Fault("cut", events=2),
    "reset before output": Fault("cut", events=1, reset=True),
    "error in 200": Fault("error_event", events=2),
    "error in 200, then failed": Fault("error_event", events=1, then_failed=True),
    "malformed before output": Fault("malformed", events=1),
    "html": Fault("status", 502, {}),
}
STREAM_ONLY = ("error in 200", "error in 200, then failed", "malformed before output")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("others", [1, 2])
def test_a_bad_region_loses_no_call(cloud: FakeCloud, ask: Ask, fault: str, others: int) -> None:
    if fault in STREAM_ONLY and "stream" not in ask.__name__:
        ask = ask_async_stream
    cloud["eastus"].set_fault(FAULTS[fault])
    router = router_of(cloud, *list(cloud.regions)[: others + 1])
    texts = [ask(router) for _ in range(8)]
    router.close()
    assert all("eastus" not in text and " turn 1" in text for text in texts)
    assert in_flight(router) == 0


def test_refused_connections_lose_no_call(cloud: FakeCloud, ask: Ask) -> None:
    cloud.kill("eastus")
    with router_of(cloud) as router:
        assert all("eastus" not in ask(router) for _ in range(12))
        assert in_flight(router) == 0


def test_a_silent_region_loses_no_call(cloud: FakeCloud, ask: Ask) -> None:
    cloud["eastus"].set_fault(Fault("black_hole"))
    with router_of(cloud, "eastus", "westus", timeout=3, routing_strategy="simple-shuffle") as router:
        assert all("westus" in ask(router) for _ in range(4))
        assert in_flight(router) == 0


def test_a_date_in_retry_after_is_measured_by_the_servers_clock(cloud: FakeCloud) -> None:
    wrong = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)

    def headers() -> dict[str, str]:
        later = wrong + dt.timedelta(seconds=40)
        return {
            "date": email.utils.format_datetime(wrong, usegmt=True),
            "retry-after": email.utils.format_datetime(later, usegmt=True),
        }

    cloud["eastus"].set_fault(throttle(headers))
    with router_of(cloud, "eastus", num_retries=0) as router:
        with pytest.raises(RateLimitError) as caught:
            router.responses("gpt", "hello")
        assert caught.value.retry_after == pytest.approx(40)
        assert router.status()[0].state == "throttled"
        assert caught.value.status == 429
        assert caught.value.request_id is not None


def test_a_single_throttled_deployment_is_waited_for(cloud: FakeCloud, ask: Ask) -> None:
    cloud["eastus"].set_fault(throttle({"retry-after-ms": "200"}, times=1))
    with router_of(cloud, "eastus") as router:
        assert "eastus turn 1" in ask(router)
    assert cloud["eastus"].requests == 2


def test_a_call_outlasts_a_throttle_of_every_region(cloud: FakeCloud, ask: Ask) -> None:
    for region in cloud.regions.values():
        region.set_fault(throttle({"retry-after-ms": "150"}, times=2))
    with router_of(cloud) as router:
        assert "turn 1" in ask(router)
        assert in_flight(router) == 0


def test_a_throttle_without_end_is_told(cloud: FakeCloud) -> None:
    for region in cloud.regions.values():
        region.set_fault(throttle({"retry-after-ms": "20"}))
    with router_of(cloud) as router, pytest.raises(RateLimitError) as caught:
        router.responses("gpt", "hello")
    assert 3 <= len(caught.value.attempts) <= 11


def test_a_stream_cut_after_output_ends_as_failed_and_is_not_sent_again(cloud: FakeCloud) -> None:
    for region in cloud.regions.values():
        region.set_fault(Fault("cut", events=7))
    with router_of(cloud) as router:
        stream = router.responses("gpt", "hello", stream=True)
        events = list(stream)
        kinds = [event.type for event in events]
        assert kinds.count("response.failed") == 1
        assert kinds[-1] == "response.failed"
        delivered = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert delivered
        last = events[-1].response
        assert last.status == "failed"
        assert last.output_text == delivered
        assert last.output[-1].status == "incomplete"
        assert stream.error is not None
        assert sum(region.requests for region in cloud.regions.values()) == 1
        assert in_flight(router) == 0


@pytest.mark.parametrize("kind", ["error_event", "malformed"])
def test_trouble_after_output_ends_the_stream_with_one_failed_event(cloud: FakeCloud, kind: str) -> None:
    cloud["eastus"].set_fault(Fault(kind, events=6))  # type: ignore[arg-type]
    with router_of(cloud, "eastus") as router:
        kinds = [event.type for event in router.responses("gpt", "hello", stream=True)]
        assert kinds[-1] == "response.failed"
        assert sum(kind in ("response.failed", "response.completed") for kind in kinds) == 1


def test_a_slow_region_does_not_hold_the_others_up(cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.4
    with router_of(cloud, routing_strategy="latency-based-routing") as router:
        for _ in range(30):
            router.responses("gpt", "hello")
    assert cloud["eastus"].requests <= 3


def test_callers_mistakes_leave_every_good_call_served(cloud: FakeCloud) -> None:
    missing = Fault("status", 404, error_body("Response not found", "invalid_request_error", None), share=0.1)
    for region in cloud.regions.values():
        region.set_fault(missing)

    async def run() -> tuple[int, int]:
        router = router_of(cloud)
        served = refused = 0

        async def one(delay: float) -> None:
            nonlocal served, refused
            await asyncio.sleep(delay)
            try:
                await router.aresponses("gpt", "hello")
                served += 1
            except NotFoundError:
                refused += 1

        await asyncio.gather(*[one(number / 60) for number in range(180)])
        assert all(one.state == "ready" for one in router.status())
        await router.aclose()
        return served, refused

    served, refused = asyncio.run(run())
    assert served + refused == 180
    assert refused == sum(region.requests for region in cloud.regions.values()) - served


@pytest.mark.parametrize("regions", [1, 3])
def test_total_outage_is_not_amplified(cloud: FakeCloud, regions: int) -> None:
    for region in cloud.regions.values():
        region.set_fault(outage())

    async def run() -> None:
        router = router_of(cloud, *list(cloud.regions)[:regions], timeout=4)
        results = await asyncio.gather(*[router.aresponses("gpt", "hello") for _ in range(60)], return_exceptions=True)
        assert all(isinstance(result, APIError | NoDeploymentAvailable | DeadlineExceededError) for result in results)
        await router.aclose()

    asyncio.run(run())
    assert sum(region.requests for region in cloud.regions.values()) <= 1.5 * 60


def test_total_outage_one_call_after_another_is_not_amplified(cloud: FakeCloud) -> None:
    for region in cloud.regions.values():
        region.set_fault(outage())
    with router_of(cloud, timeout=1) as router:
        for _ in range(20):
            with pytest.raises((APIError, NoDeploymentAvailable, DeadlineExceededError)):
                router.responses("gpt", "hello")
    assert sum(region.requests for region in cloud.regions.values()) <= 1.5 * 20


def test_calls_that_come_during_an_outage_are_served_when_it_ends(cloud: FakeCloud) -> None:
    cloud.kill("eastus")

    async def run() -> list[str]:
        router = router_of(cloud, "eastus", timeout=20, num_retries=0)
        for _ in range(5):
            with pytest.raises(APIError):
                await router.aresponses("gpt", "hello")
        waiting = [asyncio.create_task(router.aresponses("gpt", "hello")) for _ in range(20)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(cloud.revive, "eastus")
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await router.aclose()
        return [answer.output_text for answer in answers if not isinstance(answer, BaseException)]

    # one of them may have been the probe that found the region down still
    assert len(asyncio.run(run())) >= 19


def test_the_deadline_bounds_everything(cloud: FakeCloud, ask: Ask) -> None:
    for region in cloud.regions.values():
        region.set_fault(Fault("black_hole"))
    with router_of(cloud) as router:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError) as caught:
            ask(router, timeout=0.6)
        assert time.monotonic() - started < 5
        assert caught.value.attempts
        assert in_flight(router) == 0


def test_fallback_groups_are_tried_in_order(cloud: FakeCloud, ask: Ask) -> None:
    cloud["eastus"].set_fault(outage())
    cloud.kill("westus")
    rows = [row(cloud, "eastus"), row(cloud, "westus", "second"), row(cloud, "swedencentral", "third")]
    with Router(rows, fallbacks=[{"gpt": ["second", "third"]}], num_retries=0) as router:
        assert "swedencentral" in ask(router)
        route = router.responses("gpt", "hello").route
        assert route.fallback == "third"
        assert [attempt.model_group for attempt in route.attempts] == ["gpt", "second", "third"]


def test_a_too_long_input_goes_to_the_context_window_fallback(cloud: FakeCloud) -> None:
    body = error_body("This model's maximum context length is 10 tokens.", "x", "context_length_exceeded", "input")
    cloud["eastus"].set_fault(Fault("status", 400, body))
    rows = [row(cloud, "eastus"), row(cloud, "westus", "large"), row(cloud, "swedencentral", "other")]
    settings = {"context_window_fallbacks": [{"gpt": ["large"]}], "fallbacks": [{"gpt": ["other"]}]}
    with Router(rows, **settings) as router:
        response = router.responses("gpt", "hello")
        assert "westus" in response.output_text
        assert response.route.attempts[0].outcome == "caller"


def test_a_follow_up_waits_for_its_account_and_never_leaves_it(cloud: FakeCloud, ask: Ask) -> None:
    with router_of(cloud, timeout=15, fallbacks=[{"gpt": ["gpt"]}]) as router:
        first = router.responses("gpt", "hello")
        home = first.route.deployment
        cloud[home].set_fault(throttle({"retry-after-ms": "300"}, times=1))
        assert f"{home} turn 2" in ask(router, previous_response_id=first.id)
        cloud.kill(home)
        with pytest.raises((APIError, PinnedUnavailable, DeadlineExceededError)):
            ask(router, previous_response_id=first.id, timeout=0.5)
        assert sum(region.foreign_ids for region in cloud.regions.values()) == 0
