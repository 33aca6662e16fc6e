"""The port in virtual time keeps the promises of the other ports."""

import asyncio
from typing import Any

import pytest

from turnout.errors import APIConnectionError, APITimeoutError
from turnout.io.simulated import SimulatedIO
from turnout.sim.clock import run
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.service import Service, ServiceModel
from turnout_adapters.adapter import HTTPRequest

STREAM = b'{"model": "m", "input": "hi", "stream": true, "metadata": {"words": "1000"}}'


def opened_body(service: Service, idle: float) -> tuple[SimulatedIO, Any]:
    network = VirtualNetwork([PlainRegion(service)])
    request = HTTPRequest("POST", "http://eastus.simulated/v1/responses", (), STREAM)
    io = SimulatedIO(network)
    return io, io.open(request, 10.0, idle)


async def failure_of(service: Service, idle: float) -> tuple[BaseException, float]:
    """What reading a stream to its end raises, and when."""
    _, opening = opened_body(service, idle)
    body = (await opening).body
    try:
        while await body.read():
            pass
    except (APITimeoutError, APIConnectionError) as error:
        return error, asyncio.get_running_loop().time()
    finally:
        await body.close()
    raise AssertionError("the stream did not fail")


def test_a_stream_that_pauses_for_longer_than_its_idle_time_has_timed_out() -> None:
    error, at = run(failure_of(Service("eastus", ServiceModel(jitter=0.0)), 4.0))
    assert isinstance(error, APITimeoutError)
    assert at == pytest.approx(4.35, abs=0.01)


def test_a_stream_that_is_cut_raises_what_a_broken_connection_does() -> None:
    service = Service("eastus", ServiceModel())
    service.change("cut", 1.0)
    error, _ = run(failure_of(service, 600.0))
    assert isinstance(error, APIConnectionError)


def test_the_shortest_wait_moves_the_clock_on() -> None:
    async def waits() -> float:
        io = SimulatedIO(VirtualNetwork([]))
        until = 10.0
        await asyncio.sleep(until)
        for _ in range(100):
            await io.wait(io.waiter(), 1.7763568394002505e-15)
        return io.now()

    assert run(waits()) > 10.0
