"""Turns on a real Valkey that dies, refuses writes, or fails over; what a store keeps is `test_turn_stores.py`'s."""

from tests.valkey import ValkeyCluster, ValkeySentinel, ValkeyServer, eventually
from turnout.cache.redis_turns import redis_turns
from turnout.config.redis import RedisSettings

KEYS = [f"{number:040x}" for number in range(8)]


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
