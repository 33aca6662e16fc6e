"""Router processes that share a real Valkey: what one learns the others know, and its death is nobody's."""

import math
import threading
import time
from multiprocessing.connection import Connection

import pytest

from benchmarks.shared_state import Outcome, Plan, failing_over, failures_of, process, rows, run
from tests.conftest import router_of
from tests.valkey import ValkeySentinel, ValkeyServer, eventually
from turnout import Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import throttle

PLAN = Plan(rounds=1, well=0.5, down=1.6)


def calls_once(pipe: Connection, urls: dict[str, str], redis_url: str) -> None:
    """A process that makes one call, when it is told to."""
    with Router(rows(urls), redis_url=redis_url, num_retries=0, timeout=5) as router:
        pipe.recv()
        try:
            router.responses("eastus", "hello")
        except Exception as error:
            pipe.send((type(error).__name__, time.monotonic()))
        pipe.recv()


def resting(router: Router) -> set[str]:
    return {one.id for one in router.status() if one.state != "ready"}


def test_a_cooldown_of_one_process_is_respected_by_another_within_a_second(
    cloud: FakeCloud, valkey: ValkeyServer
) -> None:
    cloud["eastus"].set_fault(throttle({"retry-after": "30"}))
    urls = {name: cloud[name].url for name in cloud.regions}
    with (
        router_of(cloud, redis_url=valkey.url, transcripts=True) as router,
        process(calls_once, urls, valkey.url) as other,
    ):
        router.responses("westus", "hello")
        other.send("call")
        error, happened = other.recv()
        assert error == "RateLimitError"
        eventually(lambda: resting(router) == {"eastus"}, "a cooldown from elsewhere")
        assert time.monotonic() - happened < 1.0
        before = cloud["eastus"].requests
        for _ in range(10):
            router.responses("gpt", "hello")
        assert cloud["eastus"].requests == before
        other.send("end")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("turnout")], "close ends them"


@pytest.fixture(scope="module")
def single() -> tuple[Outcome, list[str]]:
    """Four processes while their server is killed, stopped, read-only and flushed; and the keys that it has after."""
    with ValkeyServer() as server:
        outcome = run({"redis_url": server.url}, failures_of(server), PLAN)
        return outcome, [key.rpartition(":")[0] for key in server.ask("KEYS", "*")]


@pytest.fixture(scope="module")
def sentinel() -> Outcome:
    """Four processes while the master of their Sentinel dies."""
    with ValkeySentinel() as servers:
        place = {"sentinel_nodes": servers.sentinel_nodes, "service_name": servers.service}
        return run({"cache_kwargs": place}, failing_over(servers), PLAN)


def check_calls_and_lines(outcome: Outcome, failures: int) -> None:
    """No call failed, and each part of each process said once that the store is away, and once that it is back."""
    assert [one for one in outcome.calls if one.error] == []
    for kind in ("well", *outcome.kinds):
        assert len(outcome.during(kind)) > 40, "there was load"
    for worker in outcome.workers:
        assert worker.words == dict.fromkeys(("shared state", "transcripts"), ["down", "up"] * failures)


def test_no_call_fails_whatever_the_server_does(single: tuple[Outcome, list[str]]) -> None:
    outcome, _ = single
    check_calls_and_lines(outcome, failures=3)


def test_what_was_shared_before_is_shared_again(single: tuple[Outcome, list[str]]) -> None:
    """The server was flushed last: all that it has was written after it had failed three times."""
    _, kinds = single
    assert {"turnout:turn", "turnout:fact"} <= set(kinds)


def test_no_call_fails_when_a_sentinel_fails_over(sentinel: Outcome) -> None:
    check_calls_and_lines(sentinel, failures=1)


def test_a_server_that_is_away_adds_less_than_a_millisecond(single: tuple[Outcome, list[str]]) -> None:
    """The slowest hundredth of the calls, against those of a Router without Redis in the same processes and seconds.

    A hundredth of any sample may be slower than another sample's slowest hundredth begins at; four standard deviations
    of that are allowed for.
    """
    outcome, _ = single
    count, slower = outcome.slower("killed (-9)", "stopped (SIGSTOP)", "read-only")
    assert slower <= 0.01 * count + 4 * math.sqrt(2 * 0.01 * count)
