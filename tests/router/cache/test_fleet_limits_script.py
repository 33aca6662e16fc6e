"""The script does what its model does, on a real Valkey and on a cluster of three."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.cluster import ClusterNode

from tests.valkey import ValkeyCluster, ValkeyServer
from turnout.cache.fleet_limits import ask_all
from turnout.limits.ledger import CLAIM, CURRENT, MEMORY, Answer, Ledger, Report, Request, Wish
from turnout.limits.window import BUCKETS

WINDOWS = {"tokens:60000": (1000, 1000), "money:86400000": (1_440_000, 9_000_000_000_000_000)}
START = 1_800_000_000_000
NAMES = iter(range(10**9))

amounts = st.one_of(st.integers(0, 30), st.integers(0, 1200))
steps = st.one_of(st.integers(0, 50), st.sampled_from([999, 1000, CLAIM, 5000, 61_000, MEMORY + 6000]))


@st.composite
def wishes(draw: st.DrawFn, now: int, part: str) -> Wish:
    width, limit = WINDOWS[part]
    scale = limit // 1000
    bucket = st.one_of(st.just(CURRENT), st.integers(now // width - BUCKETS - 2, now // width + BUCKETS + 2))
    reports = draw(st.lists(st.builds(Report, bucket, st.integers(-20, 300).map(lambda one: one * scale)), max_size=3))
    held, least, most = (draw(amounts) * scale for _ in range(3))
    return Wish(part, width, limit, held, least, max(most, least), reports)


@st.composite
def exchanges(draw: st.DrawFn) -> list[tuple[int, Request]]:
    """Any exchanges of three replicas, sensible or not; "?" is the epoch of a store that has been flushed."""
    now, serial, found = START, 0, list[tuple[int, Request]]()
    parts = draw(st.lists(st.sampled_from(list(WINDOWS)), min_size=1, unique=True))
    for _ in range(draw(st.integers(1, 12))):
        now += draw(steps)
        serial += draw(st.integers(0, 1))
        asked = [draw(wishes(now, part)) for part in parts]
        epoch = draw(st.sampled_from(["", "", "", "current", "current", "?"]))
        found.append((now, Request(draw(st.sampled_from("abc")), epoch, serial, 5000, 4000, asked)))
    return found


def compare(steps: list[tuple[int, Request]], ask: Callable[[str, Request, int], Answer]) -> None:
    ledger, name = Ledger(), f"deployment:{next(NAMES)} {{}}\n"
    for now, request in steps:
        epoch = ledger.epoch if request.epoch == "current" else request.epoch
        sent = Request(request.replica, epoch, request.serial, request.life, request.grace, request.wishes)
        expected = ledger.exchange(sent, now)
        assert ask(name, sent, now) == expected
        for wish, granted in zip(sent.wishes, expected.granted, strict=True):
            lent = sum(one.amounts[wish.name] for one in ledger.leases.values() if one.expires > now)
            assert granted == wish.held or ledger.windows[wish.name].used + lent <= wish.limit


def asking(client: Any) -> Callable[[str, Request, int], Answer]:
    def ask(name: str, request: Request, now: int) -> Answer:
        (answer,) = ask_all(client, "turnout", [(name, request)], lambda: now)
        assert isinstance(answer, Answer), answer
        return answer

    return ask


@pytest.fixture(scope="module")
def single() -> Iterator[redis.Redis]:
    with ValkeyServer() as server, server.client() as client:
        yield client


@pytest.fixture(scope="module")
def cluster(valkey_cluster: ValkeyCluster) -> Iterator[redis.RedisCluster]:
    nodes = [ClusterNode(**node) for node in valkey_cluster.startup_nodes]
    with closing(redis.RedisCluster(startup_nodes=nodes)) as client:
        yield client


@given(steps=exchanges())
@settings(max_examples=150)
def test_the_script_is_its_model(single: redis.Redis, steps: list[tuple[int, Request]]) -> None:
    compare(steps, asking(single))


@given(steps=exchanges())
@settings(max_examples=30)
def test_the_script_is_its_model_on_a_cluster(cluster: Any, steps: list[tuple[int, Request]]) -> None:
    compare(steps, asking(cluster))


def request(most: int = 10) -> Request:
    return Request("a", "", 1, 5000, 4000, [Wish("tokens:60000", 1000, 100, 0, 0, most, [Report(CURRENT, 1)])])


def test_many_keys_go_in_one_round_trip_wherever_they_live(cluster: Any) -> None:
    names = [f"deployment:{name}" for name in ("a b", "{x}", "ä\n", *map(str, range(20)))]
    answers = ask_all(cluster, "many", [(name, request()) for name in names])
    assert [one.granted for one in answers if isinstance(one, Answer)] == [[10]] * len(names)
    homes = {cluster.get_node_from_key(key).name for key in cluster.scan_iter("many:limits:*")}
    assert len(homes) == 3


def test_the_servers_clock_counts_and_a_server_that_lost_the_script_is_told_again(single: redis.Redis) -> None:
    (first,) = ask_all(single, "t", [("a", request())])
    assert isinstance(first, Answer)
    assert abs(first.now - single.time()[0] * 1000) < 5000
    single.script_flush()
    (second,) = ask_all(single, "t", [("a", request(40))])
    assert isinstance(second, Answer)
    assert second.granted == [40]
    assert 60_000 < single.pttl(next(single.scan_iter("t:limits:*"))) < 200_000


def test_an_error_of_one_key_is_its_own(single: redis.Redis) -> None:
    ask_all(single, "broken", [("a", request())])
    (key,) = single.scan_iter("broken:limits:*")
    single.set(key, "something else")
    bad, good = ask_all(single, "broken", [("a", request()), ("b", request())])
    assert isinstance(bad, redis.ResponseError)
    assert isinstance(good, Answer)
