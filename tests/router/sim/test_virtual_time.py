"""Virtual time: the clock, the network and the port, and the real Router over them."""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from turnout.errors import APIConnectionError, APITimeoutError, ConfigError, TurnoutError
from turnout.io.simulated import EPOCH, SimulatedIO
from turnout.sim import clock
from turnout.sim.clock import run
from turnout.sim.driving import drive
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.record import Outcome
from turnout.sim.schedule import changes, follow, parse_fault
from turnout.sim.service import Service, ServiceModel
from turnout.sim.simulated_router import SimulatedRouter
from turnout.sim.traffic import Arrival, arrivals
from turnout_adapters.adapter import HTTPRequest

EVEN = ServiceModel(first_token=1.0, per_input_token=0.0, per_output_token=0.1, jitter=0.0)
"""An answer of ten words takes two seconds, the first output of it one."""


def request(url: str, *, stream: bool = False) -> HTTPRequest:
    body = {"model": "m", "input": "hi", "stream": stream, "metadata": {"words": "10"}}
    return HTTPRequest("POST", f"{url}/v1/responses", (), json.dumps(body).encode())


def network_of(*models: ServiceModel) -> VirtualNetwork:
    return VirtualNetwork([PlainRegion(Service(name, model)) for name, model in zip("abc", models, strict=False)])


def row(name: str, **params: Any) -> dict[str, Any]:
    given = {"model": "azure/gpt-4o", "api_key": "k", "api_base": f"https://{name}.example", **params}
    return {"model_name": "gpt", "litellm_params": given, "model_info": {"id": name}}


# --- the clock


def test_hours_pass_in_order_and_at_once() -> None:
    seen: list[tuple[float, str]] = []

    async def at(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append((asyncio.get_running_loop().time(), name))

    async def main() -> str:
        await asyncio.gather(at(7200, "late"), at(0.5, "early"), at(3600, "a"), at(3600, "b"))
        return "done"

    assert run(main()) == "done"
    assert seen == [(0.5, "early"), (3600, "a"), (3600, "b"), (7200, "late")]


def test_timeouts_and_cancellation_are_those_of_asyncio() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        task = asyncio.ensure_future(asyncio.sleep(1e9))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run(main()) == 40


def test_a_wait_that_nothing_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_PATIENCE", 0.01)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will ever bring about"):
        run(main())


def test_a_thread_is_really_waited_for() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert run(main()) == 7


# --- the network


def test_an_answer_comes_when_the_service_says() -> None:
    network = network_of(EVEN)

    async def main() -> tuple[int, float]:
        reply = await network.send(request(network.regions["a"].url))
        assert json.loads(reply.body)["usage"]["output_tokens"] == 10
        assert reply.headers["content-type"] == "application/json"
        return reply.status, asyncio.get_running_loop().time()

    assert run(main()) == (200, pytest.approx(2.0))
    assert network.regions["a"].in_flight == 0


def test_a_region_without_a_service_answers_after_its_latency() -> None:
    network = network_of(EVEN)
    region = network.regions["a"]
    region.service, region.latency = None, 3.0

    async def main() -> float:
        await network.send(request(region.url))
        return asyncio.get_running_loop().time()

    assert run(main()) == 3.0
    assert network.services == {}


def test_a_stream_has_its_first_output_first_and_the_rest_at_the_end() -> None:
    network = network_of(EVEN)

    async def main() -> list[tuple[float, bytes]]:
        loop, pieces = asyncio.get_running_loop(), []
        opened = await network.open(request(network.regions["a"].url, stream=True))
        while data := await opened.body.read():
            pieces.append((loop.time(), data))
        assert network.regions["a"].in_flight == 0
        return pieces

    (first, begun), (last, rest) = run(main())
    assert (first, last) == (pytest.approx(1.0), pytest.approx(2.0))
    assert b"response.created" in begun
    assert b".delta" in begun
    assert b"response.completed" in rest


def test_nobody_is_at_other_addresses_and_a_region_that_is_down_refuses() -> None:
    network = network_of(EVEN)
    network.services["a"].change("refused", value=True)

    async def main() -> None:
        for url in ("http://elsewhere.simulated", network.regions["a"].url):
            with pytest.raises(ConnectionRefusedError):
                await network.send(request(url))
            with pytest.raises(ConnectionRefusedError):
                await network.open(request(url, stream=True))

    run(main())
    assert network.regions["a"].in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_comes_between_the_first_output_and_the_last(stream: bool) -> None:
    network = network_of(EVEN)
    network.services["a"].change("cut", 1.0)

    async def main() -> float:
        asked = request(network.regions["a"].url, stream=stream)
        if stream:
            body = (await network.open(asked)).body
            assert b"response.created" in await body.read()
        with pytest.raises(ConnectionResetError):
            await (body.read() if stream else network.send(asked))
        return asyncio.get_running_loop().time()

    assert 1.0 < run(main()) < 2.0
    assert (network.regions["a"].in_flight, network.services["a"].under_way) == (0, 0)


def test_who_gives_up_frees_his_place_in_the_line() -> None:
    network = network_of(
        ServiceModel(first_token=10, per_input_token=0, per_output_token=1e-9, jitter=0, concurrency=1)
    )
    service, region = network.services["a"], network.regions["a"]

    async def main() -> list[float]:
        loop, ended = asyncio.get_running_loop(), []

        async def call() -> None:
            await network.send(request(region.url))
            ended.append(round(loop.time(), 3))

        tasks = [asyncio.ensure_future(call()) for _ in range(4)]
        await asyncio.sleep(4)
        assert service.slots is not None
        assert (service.slots.working, len(service.slots.waiting)) == (1, 3)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ended

    assert run(main()) == [14.0, 24.0]
    assert (region.in_flight, service.under_way) == (0, 0)


def test_a_stream_that_is_closed_early_is_over_for_the_region() -> None:
    network = network_of(EVEN)

    async def main() -> None:
        opened = await network.open(request(network.regions["a"].url, stream=True))
        await opened.body.read()
        assert network.regions["a"].in_flight == 1
        await opened.body.close()
        assert network.regions["a"].in_flight == 0

    run(main())


# --- the port


def test_timeouts_of_the_port_are_virtual_seconds() -> None:
    network = network_of(EVEN)
    io = SimulatedIO(network)
    assert io.now() == 0.0

    async def main() -> list[float]:
        url, times = network.regions["a"].url, []
        with pytest.raises(APITimeoutError, match=r"no complete answer from http://a\.simulated in 1\.5 s"):
            await io.send(request(url), 1.5)
        times.append(io.now())
        with pytest.raises(APITimeoutError, match=r"no answer from http://a\.simulated in 0\.5 s"):
            await io.open(request(url, stream=True), 0.5, 9.0)
        times.append(io.now())
        opened = await io.open(request(url, stream=True), 5.0, 9.0)
        await io.read(opened.body, 1.0)
        with pytest.raises(APITimeoutError, match="paused for too long"):
            await io.read(opened.body, 0.25)
        await opened.body.close()
        assert io.unix() == EPOCH + io.now()
        return [*times, io.now()]

    assert run(main()) == [1.5, 2.0, 3.25]
    assert network.regions["a"].in_flight == 0


def test_broken_connections_are_errors_of_the_library() -> None:
    network = network_of(EVEN)
    io = SimulatedIO(network)

    async def main() -> None:
        url = network.regions["a"].url
        network.services["a"].change("cut", 1.0)
        with pytest.raises(APIConnectionError, match="reset in the middle"):
            await io.send(request(url), 9.0)
        opened = await io.open(request(url, stream=True), 9.0, 9.0)
        await io.read(opened.body, 9.0)
        with pytest.raises(APIConnectionError, match="broke off"):
            await io.read(opened.body, 9.0)
        network.services["a"].change("refused", value=True)
        with pytest.raises(APIConnectionError, match="refuses connections"):
            await io.open(request(url), 9.0, 9.0)

    run(main())


# --- the Router


def test_the_sync_methods_say_that_they_need_real_time() -> None:
    with SimulatedRouter([row("a")], network_of(EVEN)) as router, pytest.raises(ConfigError, match="need real time"):
        router.responses("gpt", "hi")


def test_a_deployment_keeps_its_account_limits_and_prices_and_speaks_to_its_region() -> None:
    network = network_of(EVEN, EVEN)
    claude = {"model": "anthropic/claude-sonnet-4-5", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    rows = [row("a", rpm=1), {"model_name": "claude", "litellm_params": claude, "model_info": {"id": "b"}}]

    async def main() -> None:
        async with SimulatedRouter(rows, network) as router:
            assert [(one.id, one.provider) for one in router.status()] == [("a", "azure"), ("b", "anthropic")]
            assert list(router.prices) == ["b"]
            response = await router.aresponses("claude", "hi", metadata={"words": "10"})
            assert response.route.deployment == "b"
            again = await router.aresponses("claude", "go on", previous_response_id=response.id)
            assert "turn 2" in again.output_text
            await router.aresponses("gpt", "hi")
            with pytest.raises(TurnoutError):
                await router.aresponses("gpt", "hi", timeout=5.0)

    run(main())
    assert (network.regions["a"].requests, network.regions["b"].served) == (1, 2)


async def _played(seed: int, faults: Sequence[str], **kind: Any) -> list[Outcome]:
    network = VirtualNetwork([PlainRegion(Service(name, ServiceModel(), seed=seed), seed=seed) for name in "abc"])
    planned = changes(map(parse_fault, faults), "abc")
    task = asyncio.ensure_future(follow(planned, network.services))
    traffic = itertools.islice(arrivals(random.Random(seed), 8.0), 250)
    async with SimulatedRouter([row(name) for name in "abc"], network, seed=seed, timeout=30, num_retries=2) as router:
        outcomes = await drive(router, "gpt", traffic, seed=seed, **kind)
        assert sum(one.in_flight for one in router.status()) == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sum(region.in_flight for region in network.regions.values()) == 0
    return outcomes


@pytest.mark.parametrize("kind", [{}, {"stream": 0.5, "follow_ups": 0.3}], ids=["unary", "mixed"])
def test_a_seed_replays_exactly(kind: dict[str, Any]) -> None:
    faults = ["a down 5s-12s", "b cut 30% 8s-20s", "c throttled 6s-20s", "all errors 10% 0-30s"]
    once, again, other = (run(_played(seed, faults, **kind)) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert {attempt.outcome for one in once for attempt in one.tries} >= {"ok", "deployment", "throttle"}


# --- driving


def test_what_is_written_down_of_a_call() -> None:
    network = network_of(EVEN, EVEN)
    network.services["a"].change("unavailable", value=True)
    rows = [
        row("a", order=1, input_cost_per_token=1.0, output_cost_per_token=1.0),
        row("b", order=2, input_cost_per_token=0.001, output_cost_per_token=0.01),
    ]

    async def main() -> list[Outcome]:
        async with SimulatedRouter(rows, network, timeout=60) as router:
            await asyncio.sleep(100)
            return await drive(router, "gpt", [Arrival(2.0, 100, 10), Arrival(900.0, 1, 1)], until=900.0)

    (one,) = run(main())
    assert (one.ok, one.error, one.prompt_tokens, one.output_tokens, one.deployment) == (True, None, 100, 10, "b")
    assert one.at == pytest.approx(2.0)
    assert [(attempt.deployment, attempt.outcome) for attempt in one.tries] == [("a", "deployment"), ("b", "ok")]
    assert one.tries[0].at == pytest.approx(2.0)
    assert one.tries[1].at + one.tries[1].seconds == pytest.approx(one.at + one.seconds)
    assert one.cost == pytest.approx(101 * 0.001 + 10 * 0.01)
    assert one.first is None


def test_streams_that_are_cut_and_mistakes_and_dead_ends_are_told_apart() -> None:
    network = network_of(EVEN)
    told: list[Outcome] = []

    async def main(mistaken: list[bool] | None, **kind: Any) -> Outcome:
        async with SimulatedRouter([row("a")], network, timeout=20, num_retries=0) as router:
            (one,) = await drive(
                router, "gpt", [Arrival(0.0, 100, 10)], mistaken=mistaken, on_outcome=told.append, **kind
            )
            return one

    fine = run(main(None, stream=1.0))
    assert fine.ok
    assert (fine.first, fine.seconds) == (pytest.approx(1.0), pytest.approx(2.0))
    assert fine.tries[0].seconds == pytest.approx(2.0)

    wrong = run(main([True]))
    assert (wrong.ok, wrong.blame, wrong.error, wrong.tries[0].outcome) == (False, "caller", "NotFoundError", "caller")

    network.services["a"].change("cut", 1.0)
    cut = run(main(None, stream=1.0))
    assert (cut.ok, cut.blame, cut.error) == (False, "provider", "APIConnectionError")
    assert cut.tries[0].outcome == "deployment"
    assert cut.tries[0].seconds == pytest.approx(cut.seconds)
    assert 1.0 < cut.seconds < 2.0

    network.services["a"].change("refused", value=True)
    refused = run(main(None))
    assert (refused.ok, refused.tries[0].outcome) == (False, "deployment")
    assert told == [fine, wrong, cut, refused]


def test_follow_ups_continue_their_own_conversation_and_prompts_of_one_begin_alike() -> None:
    asked: list[tuple[str, str | None]] = []

    async def main() -> None:
        network = network_of(EVEN)
        async with SimulatedRouter([row("a")], network, timeout=60) as router:

            async def ask(model: str, text: str, **params: Any) -> Any:
                asked.append((text, params.get("previous_response_id")))
                return await router.aresponses(model, text, **params)

            calls = [Arrival(10.0 * number, 50, 5, number % 2) for number in range(6)]
            outcomes = await drive(ask, "gpt", calls, follow_ups=1.0)
            assert all(one.ok for one in outcomes)
            assert sorted(network.regions["a"].turns.values()) == [1, 1, 2, 2, 3, 3]

    run(main())
    assert [previous is None for _, previous in asked] == [True, True, False, False, False, False]
    assert {len(text) for text, _ in asked} == {200}
    assert asked[0][0] == asked[2][0] == asked[4][0] != asked[1][0]


def test_a_drive_that_is_cancelled_leaves_nothing_under_way() -> None:
    network = network_of(EVEN)
    told: list[Outcome] = []

    async def main() -> None:
        async with SimulatedRouter([row("a")], network, timeout=60) as router:
            calls = [Arrival(float(number), 10, 10) for number in range(100)]
            task = asyncio.ensure_future(drive(router, "gpt", calls, on_outcome=told.append))
            await asyncio.sleep(10.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (router.status()[0].in_flight, network.regions["a"].in_flight) == (0, 0)

    run(main())
    assert len(told) == 9
