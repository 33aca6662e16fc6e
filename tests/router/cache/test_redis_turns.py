"""Turns on a real Valkey: alone, in a Cluster, and behind a Sentinel that fails over."""

from collections.abc import Iterator

import pytest

from tests.valkey import ValkeyCluster, ValkeySentinel, ValkeyServer, eventually
from turnout.cache.redis_turns import RedisTurns, redis_turns
from turnout.config.redis import RedisSettings

KEYS = [f"{number:040x}" for number in range(8)]


@pytest.fixture(params=["single", "cluster"])
def turns(request: pytest.FixtureRequest) -> Iterator[RedisTurns]:
    if request.param == "single":
        settings = RedisSettings(url=request.getfixturevalue("valkey").url)
    else:
        nodes = [(one["host"], one["port"]) for one in request.getfixturevalue("valkey_cluster").startup_nodes]
        settings = RedisSettings(request.node.name, startup_nodes=tuple(nodes))
    store, background = redis_turns(settings)
    yield store
    background.close(1)
    store.close()


def test_what_is_written_is_read_until_it_is_erased(turns: RedisTurns) -> None:
    entries = {key: bytes([255, 0, number]) for number, key in enumerate(KEYS[:6])}
    turns.write(entries, 60)
    assert turns.read(KEYS) == [*entries.values(), None, None]
    turns.erase([KEYS[0], KEYS[7]])
    assert turns.read(KEYS[:2]) == [None, entries[KEYS[1]]]
    turns.write({KEYS[1]: b"again"}, 60)
    assert turns.read([KEYS[1]]) == [b"again"]
    assert turns.read([]) == []
    turns.close()
    assert turns.read([KEYS[1]]) == [b"again"], "used again after close"


def test_entries_expire_and_touch_keeps_them(turns: RedisTurns) -> None:
    turns.write({KEYS[0]: b"short", KEYS[1]: b"kept"}, 0.3)
    turns.touch([KEYS[1], KEYS[2]], 60)
    eventually(lambda: turns.read(KEYS[:3]) == [None, b"kept", None], "one expired, one kept, none made")


def test_swap_replaces_what_is_expected_and_nothing_else(turns: RedisTurns) -> None:
    assert not turns.swap(KEYS[0], b"there", b"new", 60)
    assert turns.swap(KEYS[0], None, b"first", 60)
    assert not turns.swap(KEYS[0], None, b"other", 60)
    assert not turns.swap(KEYS[0], b"firs", b"other", 60)
    assert turns.read([KEYS[0]]) == [b"first"]
    assert turns.swap(KEYS[0], b"first", b"", 60)
    assert turns.swap(KEYS[0], b"", b"last", 60), "an empty value is a value"
    assert turns.swap(KEYS[0], b"last", b"short", 0.05)
    eventually(lambda: turns.read([KEYS[0]]) == [None], "expiry of what was swapped in")


def test_keys_carry_the_namespace(valkey: ValkeyServer) -> None:
    for name in ("one", "two"):
        store, _ = redis_turns(RedisSettings(name, url=valkey.url))
        store.write({KEYS[0]: name.encode()}, 60)
        assert store.read([KEYS[0]]) == [name.encode()]
        store.close()
    assert sorted(valkey.ask("KEYS", "*")) == [f"one:turn:{KEYS[0]}", f"two:turn:{KEYS[0]}"]


def test_a_server_that_was_killed_or_refuses_writes_is_used_again_when_it_is_well(valkey: ValkeyServer) -> None:
    store, background = redis_turns(RedisSettings(url=valkey.url))
    store.write({KEYS[0]: b"1"}, 60)
    valkey.kill()
    failed = background.submit(lambda: store.read(KEYS))
    eventually(lambda: failed.done, "a failure")
    assert failed.error is not None
    valkey.restart()
    eventually(lambda: background.healthy, "a recovery")
    valkey.read_only()
    refused = background.submit(lambda: store.write({KEYS[0]: b"2"}, 60))
    eventually(lambda: refused.done, "a refusal")
    assert refused.error is not None
    assert not background.healthy, "that it could still read is of no use"
    valkey.writable()
    eventually(lambda: background.healthy, "another recovery")
    again = background.submit(lambda: store.read(KEYS[:1]))
    eventually(lambda: again.done, "an answer")
    assert again.value == [None]
    background.close(1)
    store.close()


def test_a_failover_of_a_sentinel_is_followed(valkey_sentinel: ValkeySentinel) -> None:
    servers = valkey_sentinel
    settings = RedisSettings(sentinel_nodes=tuple(servers.sentinel_nodes), service_name=servers.service)
    store, background = redis_turns(settings)
    store.write({KEYS[0]: b"before"}, 60)
    eventually(lambda: servers.replica.ask("DBSIZE") == 1, "replication")
    servers.fail_over()
    lost = background.submit(lambda: store.write({KEYS[1]: b"during"}, 60))
    eventually(lambda: lost.done, "a failure")
    eventually(lambda: background.healthy, "the new master")
    kept = background.submit(lambda: store.read(KEYS[:1]))
    eventually(lambda: kept.done, "an answer")
    assert kept.value == [b"before"]
    background.close(1)
    store.close()


def test_a_cluster_without_one_of_its_nodes_is_down_and_comes_back() -> None:
    with ValkeyCluster() as cluster:
        nodes = tuple((one["host"], one["port"]) for one in cluster.startup_nodes)
        store, background = redis_turns(RedisSettings(startup_nodes=nodes))
        store.write(dict.fromkeys(KEYS, b"1"), 60)
        cluster.nodes[0].pause()
        stuck = background.submit(lambda: store.read(KEYS))
        eventually(lambda: stuck.done or not background.healthy, "a failure")
        cluster.nodes[0].resume()
        eventually(lambda: background.healthy, "a recovery")
        again = background.submit(lambda: store.read(KEYS))
        eventually(lambda: again.done, "an answer")
        assert again.value == [b"1"] * len(KEYS)
        background.close(1)
        store.close()
