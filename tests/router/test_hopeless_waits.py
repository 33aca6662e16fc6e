"""A call for which nothing can become free in time ends at once, and says until when; one that may be served waits.

In virtual time, where an hour is nothing: the clock tells exactly who waited. What a socket adds is in the last part.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import pytest

from tests.conftest import SECRET, in_flight, router_of
from tests.router.test_faults import Ask, ask_async, ask_async_stream, ask_sync, ask_sync_stream
from tests.servers import Answer, Asked, serving
from turnout import (
    DeadlineExceededError,
    NoCapacityError,
    NoDeploymentAvailable,
    PinnedUnavailable,
    RateLimitError,
    Router,
    TurnoutError,
)
from turnout.engine.port import Opened
from turnout.sim.clock import run
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import throttle
from turnout.sim.replies import response_object
from turnout.sim.simulated_router import SimulatedRouter
from turnout_adapters.adapter import HTTPReply, HTTPRequest

HOUR = 3600.0
_MADE = Random(1)


@dataclass
class Region:
    """Answers after so many seconds, or with what it is told to answer, a number of times or always."""

    seconds: float = 0.1
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    times: float = inf
    requests: int = 0

    def fails(self, status: int, headers: dict[str, str] | None = None, times: float = inf) -> None:
        self.status, self.headers, self.times = status, headers or {}, times

    def recovers(self) -> None:
        self.fails(200)

    async def answer(self, body: dict[str, Any]) -> HTTPReply:
        self.requests += 1
        await asyncio.sleep(self.seconds)
        if self.status != 200:
            refusal = HTTPReply(self.status, self.headers, b'{"error": {"message": "no"}}')
            self.times -= 1
            if self.times <= 0:
                self.recovers()
            return refusal
        return HTTPReply(200, {}, json.dumps(response_object(body, "here", 1, 4, _MADE)).encode())


class World:
    """Regions in virtual time: the network of a Router."""

    regions: Mapping[str, Any] = {}
    """None that has an address of its own: http://NAME.nowhere it is."""

    def __init__(self, *names: str) -> None:
        self.places = {name: Region() for name in names}

    async def send(self, request: HTTPRequest) -> HTTPReply:
        name = request.url.partition("//")[2].partition(".")[0]
        return await self.places[name].answer(json.loads(request.body))

    async def open(self, request: HTTPRequest) -> Opened:
        raise AssertionError("nothing streams in here")

    def throttle(self, name: str, seconds: float, times: float = inf) -> None:
        self.places[name].fails(429, {"retry-after": f"{seconds:.0f}"}, times)

    def row(self, name: str, group: str = "gpt", **params: Any) -> dict[str, Any]:
        given = {"model": "azure/gpt-4o", "api_key": "k", "api_base": f"https://{name}.example", **params}
        return {"model_name": group, "litellm_params": given, "model_info": {"id": name}}

    def router(self, *rows: dict[str, Any], **settings: Any) -> SimulatedRouter:
        listed = rows or tuple(self.row(name) for name in self.places)
        return SimulatedRouter(list(listed), self, id_secret=SECRET, **settings)  # type: ignore[arg-type]

    @property
    def requests(self) -> list[int]:
        return [region.requests for region in self.places.values()]


def now() -> float:
    return asyncio.get_running_loop().time()


async def refused(router: SimulatedRouter, group: str = "gpt", **given: Any) -> tuple[TurnoutError, float]:
    """The error of a call, and how long it took."""
    begun = now()
    with pytest.raises(TurnoutError) as caught:
        await router.aresponses(group, "x", **given)
    return caught.value, now() - begun


def test_with_everything_throttled_a_call_ends_at_once_with_the_soonest_retry_after() -> None:
    world = World("a", "b")
    world.throttle("a", 3000)
    world.throttle("b", 900)

    async def main() -> None:
        async with world.router() as router:
            first, seconds = await refused(router, timeout=60)
            assert seconds < 1
            assert sorted(one.deployment for one in first.attempts) == ["a", "b"]
            assert isinstance(first.__cause__, RateLimitError)
            for timeout in (4, 60, 800):
                error, seconds = await refused(router, timeout=timeout)
                assert seconds == 0
                assert isinstance(error, NoCapacityError)
                assert isinstance(error, RateLimitError)
                assert isinstance(error, NoDeploymentAvailable), "as those catch it who did so for limits"
                assert error.status == 429
                assert error.retry_after == pytest.approx(900 - now(), abs=1)
                assert set(error.reasons) == {"a", "b"}
                assert "b: throttled by the provider for " in error.message
            assert world.requests == [1, 1]

    run(main())


def test_a_throttle_that_ends_in_time_is_waited_for() -> None:
    world = World("a")
    world.throttle("a", 20, times=1)

    async def main() -> None:
        async with world.router() as router:
            answer = await router.aresponses("gpt", "x", timeout=25)
            assert answer.route.waited == pytest.approx(20, abs=0.1)
            world.throttle("a", 20, times=1)
            error, seconds = await refused(router, timeout=15)
            assert isinstance(error, RateLimitError)
            assert seconds < 1
            assert (await router.aresponses("gpt", "x", timeout=30)).route.waited == pytest.approx(20, abs=1)

    run(main())


def test_max_wait_bounds_a_wait_as_the_deadline_does() -> None:
    world = World("a")
    world.throttle("a", 30)

    async def main() -> None:
        async with world.router(max_wait=10) as router:
            await refused(router, timeout=300)
            error, seconds = await refused(router, timeout=300)
            assert isinstance(error, NoCapacityError)
            assert seconds == 0

    run(main())


def test_a_fallback_that_is_free_in_time_is_waited_for_and_one_that_is_not_is_told_of() -> None:
    world = World("a", "b")
    world.throttle("a", 900)
    world.throttle("b", 5, times=1)

    async def main() -> None:
        rows = (world.row("a"), world.row("b", "spare"))
        async with world.router(*rows, fallbacks=[{"gpt": ["spare"]}]) as router:
            answer = await router.aresponses("gpt", "x", timeout=30)
            assert answer.route.deployment == "b"
            world.throttle("b", 700)
            await refused(router, timeout=30)
            error, seconds = await refused(router, timeout=30)
            assert isinstance(error, NoCapacityError)
            assert seconds == 0
            assert set(error.reasons) == {"a", "b"}
            assert error.retry_after == pytest.approx(700, abs=1)

    run(main())


def test_a_pinned_call_ends_at_once_in_its_own_error() -> None:
    world = World("a", "b")

    async def main() -> None:
        async with world.router() as router:
            first = await router.aresponses("gpt", "x")
            home = first.route.deployment
            world.throttle(home, 900)
            await refused(router, timeout=30, previous_response_id=first.id)
            error, seconds = await refused(router, timeout=30, previous_response_id=first.id)
            assert isinstance(error, PinnedUnavailable)
            assert seconds == 0
            assert error.retry_after == pytest.approx(900, abs=2)
            assert (await router.aresponses("gpt", "x", timeout=30)).route.deployment != home

    run(main())


def test_a_rest_of_the_breaker_is_never_hopeless() -> None:
    world = World("a")
    world.places["a"].fails(500)

    async def main() -> None:
        async with world.router(num_retries=0) as router:
            for _ in range(5):
                await refused(router, timeout=30)
            assert router.status()[0].state == "cooling down"
            assert router.status()[0].available_in > 4.5
            world.places["a"].recovers()
            answer = await router.aresponses("gpt", "x", timeout=4)
            assert answer.route.waited < 3, "a probe for want of any other ends the rest early"

    run(main())


def test_a_throttled_deployment_beside_one_that_rests_is_not_hopeless() -> None:
    world = World("a", "b")
    world.throttle("a", 900)
    world.places["b"].fails(500)

    async def main() -> None:
        async with world.router(num_retries=0) as router:
            for _ in range(8):
                await refused(router, timeout=30)
            world.places["b"].recovers()
            assert (await router.aresponses("gpt", "x", timeout=30)).route.deployment == "b"

    run(main())


def test_what_others_give_back_may_be_waited_for_and_a_full_window_may_not() -> None:
    world = World("a")
    world.places["a"].seconds = 2.0

    async def main() -> None:
        async with world.router(world.row("a", tpm=1000)) as router:
            under_way = asyncio.create_task(router.aresponses("gpt", "x", max_output_tokens=900))
            await asyncio.sleep(0.1)
            answer = await router.aresponses("gpt", "x", max_output_tokens=500, timeout=10)
            assert answer.route.waited > 1, "the first call used less than was set aside for it"
            await under_way
        async with world.router(world.row("a", rpm=1)) as router:
            await router.aresponses("gpt", "x")
            error, seconds = await refused(router, timeout=10)
            assert isinstance(error, NoCapacityError)
            assert seconds == 0
            assert 50 < (error.retry_after or 0) < 62
            assert "rpm limit of 1 reached" in error.message
            assert (await router.aresponses("gpt", "x", timeout=70)).route.waited > 50

    run(main())


def test_a_free_place_may_come_at_any_time() -> None:
    world = World("a")
    world.places["a"].seconds = 5.0

    async def main() -> None:
        async with world.router(world.row("a", max_parallel_requests=1)) as router:
            first = asyncio.create_task(router.aresponses("gpt", "x"))
            await asyncio.sleep(0.1)
            error, seconds = await refused(router, timeout=2)
            assert isinstance(error, DeadlineExceededError)
            assert seconds == pytest.approx(2)
            await first

    run(main())


@pytest.mark.parametrize(
    ("limit", "given", "told"),
    [
        ({"tpm": 1000}, {"input": "x" * 8000}, "tpm limit of 1000 as a whole: about 2000 tokens"),
        ({"itpm": 1000}, {"input": "x" * 8000}, "itpm limit of 1000 as a whole: about 2000 input tokens"),
        ({"otpm": 1000}, {"max_output_tokens": 5000}, "otpm limit of 1000 as a whole: about 5000 output tokens"),
        ({"tpd": 1000}, {"max_output_tokens": 5000}, "tpd limit of 1000 as a whole"),
        (
            {"max_budget": 1.0, "budget_duration": "1d", "input_cost_per_token": 1e-3, "output_cost_per_token": 1e-3},
            {"max_output_tokens": 5000},
            "max_budget of \\$1 per 1d as a whole",
        ),
    ],
)
def test_a_call_larger_than_the_limit_of_every_deployment_is_told_so_at_once(
    limit: dict[str, Any], given: dict[str, Any], told: str
) -> None:
    world = World("a", "b")

    async def main() -> None:
        async with world.router(world.row("a", **limit), world.row("b", **limit)) as router:
            for _ in range(2):
                begun = now()
                with pytest.raises(NoCapacityError, match=told) as caught:
                    await router.aresponses("gpt", **{"input": "x", **given})
                assert now() == begun
                assert caught.value.retry_after is None
            assert (await router.aresponses("gpt", "x", max_output_tokens=20)).output_text
            assert world.requests.count(0) == 1

    run(main())


def test_a_call_larger_than_one_limit_goes_where_it_fits() -> None:
    world = World("a", "b")

    async def main() -> None:
        async with world.router(world.row("a", tpm=1000), world.row("b", order=2)) as router:
            assert (await router.aresponses("gpt", "x", max_output_tokens=5000)).route.deployment == "b"
            assert (await router.aresponses("gpt", "x", max_output_tokens=50)).route.deployment == "a"

    run(main())


def test_what_is_only_guessed_to_be_too_large_is_tried() -> None:
    """Nobody knows how many tokens a picture has, nor how long an answer will be that no limit is set to."""
    world = World("a")
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{'A' * 8000}"}

    async def main() -> None:
        async with world.router(world.row("a", tpm=200)) as router:
            assert (await router.aresponses("gpt", "x", timeout=100)).output_text
            await asyncio.sleep(70)
            items = [{"role": "user", "content": [picture]}]
            assert (await router.aresponses("gpt", items, timeout=100)).output_text

    run(main())


def test_those_behind_one_who_may_wait_longer_do_not_wait_in_vain() -> None:
    world = World("a")
    world.throttle("a", 50, times=1)

    async def main() -> None:
        async with world.router(num_retries=0) as router:
            await refused(router, timeout=1)
            patient = asyncio.create_task(router.aresponses("gpt", "x", timeout=100))
            await asyncio.sleep(1)
            error, seconds = await refused(router, timeout=10)
            assert isinstance(error, NoCapacityError)
            assert seconds == 0
            assert error.retry_after == pytest.approx(49, abs=1)
            assert (await patient).route.waited > 45

    run(main())


def test_a_longer_throttle_that_another_process_tells_of_ends_waits() -> None:
    world = World("a")
    world.throttle("a", 20, times=1)

    async def main() -> None:
        async with world.router() as router:
            waiting = asyncio.create_task(refused(router, timeout=60))
            await asyncio.sleep(5)
            router._fleet.hint("a", now(), 900.0, None)
            error, seconds = await waiting
            assert isinstance(error, NoCapacityError)
            assert seconds == pytest.approx(5, abs=0.2)

    run(main())


# --- a Retry-After beyond an hour


@pytest.mark.parametrize("header", ["1000000000", "7200", "Fri, 01 Jan 2099 00:00:00 GMT"])
def test_after_an_hour_one_probe_finds_out(header: str) -> None:
    world = World("a")
    region = world.places["a"]
    region.fails(429, {"retry-after": header})

    async def main() -> None:
        async with world.router(num_retries=0) as router:
            await refused(router, timeout=5)
            assert router.status()[0].state == "throttled"
            assert router.status()[0].available_in == pytest.approx(HOUR, abs=1)
            for at in (1, 600, HOUR - 10):
                await asyncio.sleep(at - now())
                error, seconds = await refused(router, timeout=5)
                assert isinstance(error, NoCapacityError)
                assert seconds == 0
            assert region.requests == 1

            await asyncio.sleep(HOUR + 5 - now())
            calls = [refused(router, timeout=5) for _ in range(20)]
            errors = [error for error, _ in await asyncio.gather(*calls)]
            assert region.requests == 2, "one of them is the probe"
            assert all(isinstance(error, RateLimitError) for error in errors)
            assert router.status()[0].available_in == pytest.approx(HOUR, abs=10)

            region.recovers()
            await asyncio.sleep(2 * HOUR + 20 - now())
            answers = await asyncio.gather(*[router.aresponses("gpt", "x", timeout=60) for _ in range(20)])
            assert len(answers) == 20
            assert router.status()[0].state == "ready"

    run(main())


def test_a_call_that_has_the_time_is_the_probe_itself() -> None:
    world = World("a")
    world.throttle("a", 10 * HOUR, times=1)

    async def main() -> None:
        async with world.router(max_wait=2 * HOUR) as router:
            answer = await router.aresponses("gpt", "x", timeout=10_000)
            assert answer.route.waited == pytest.approx(HOUR, abs=5)

    run(main())


def test_a_limit_that_a_provider_calls_used_up_for_a_day_is_tried_after_an_hour() -> None:
    world = World("a")
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h"}
    region = world.places["a"]
    region.fails(500, headers, 1)

    async def main() -> None:
        async with world.router(num_retries=0) as router:
            await refused(router, timeout=5)
            error, seconds = await refused(router, timeout=5)
            assert isinstance(error, NoCapacityError)
            assert seconds == 0
            assert error.retry_after == pytest.approx(HOUR, abs=1)
            await asyncio.sleep(HOUR + 1)
            assert (await router.aresponses("gpt", "x")).output_text

    run(main())


# --- over sockets


@pytest.mark.parametrize("ask", [ask_sync, ask_async, ask_sync_stream, ask_async_stream])
def test_over_sockets_nobody_waits_out_a_throttle_of_an_hour(cloud: FakeCloud, ask: Ask) -> None:
    for region in cloud.regions.values():
        region.set_fault(throttle({"retry-after": "3600"}))
    with router_of(cloud) as router:
        begun = time.monotonic()
        for _ in range(3):
            with pytest.raises(RateLimitError, match="throttled by the provider for 3"):
                ask(router, timeout=30)
        assert time.monotonic() - begun < 20
        assert sum(region.requests for region in cloud.regions.values()) == 3
        assert in_flight(router) == 0


def test_the_docs_first_case_over_a_socket() -> None:
    def answer(_: Asked) -> Answer:
        return Answer(429, {"error": {"message": "slow"}}, headers={"retry-after": "3600"})

    with serving(answer) as server:
        params = {"model": "openai/gpt-4o", "api_key": "k", "api_base": server.url}
        rows = [{"model_name": "g", "litellm_params": params}]
        with Router(rows) as router, pytest.raises(NoCapacityError) as caught:
            router.responses("g", "x", timeout=30)
    assert caught.value.retry_after == pytest.approx(3600, abs=5)
    assert [one.outcome for one in caught.value.attempts] == ["throttle"]
