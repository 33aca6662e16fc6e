"""LiteLLM's Redis settings: read, refused with the field's name and the fix, and turned into a client that connects."""

import sys
from typing import Any

import pytest
import redis

from tests.valkey import ValkeyCluster, ValkeySentinel, ValkeyServer
from turnout import ConfigError, Router
from turnout.cache.redis_client import CONNECT_TIMEOUT, READ_TIMEOUT, RedisClient
from turnout.config.redis import RedisSettings, redis_settings

ROW = {"model_name": "gpt", "litellm_params": {"model": "openai/gpt", "api_key": "k"}}
NODES = [{"host": "127.0.0.1", "port": 1}]

BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "scheme": ({"redis_url": "http://me:secret@h"}, ["redis_url", "redis://"]),
    "slash in the password": ({"redis_url": "redis://me:secret/secret@h:1"}, ["redis_url", "percent-encode"]),
    "url is no text": ({"redis_url": 6379}, ["redis_url", "string"]),
    "no host": ({"redis_password": "secret"}, ["redis_host", "missing"]),
    "port": ({"redis_host": "h", "redis_port": "none"}, ["redis_port", "whole number"]),
    "tls in two places": ({"redis_url": "redis://h", "cache_kwargs": {"ssl": True}}, ["redis_url", "rediss://"]),
    "tls options without": ({"redis_host": "h", "cache_kwargs": {"ssl_ca_certs": "f"}}, ["cache_kwargs.ssl", "True"]),
    "unknown option": ({"redis_host": "h", "cache_kwargs": {"usernam": "x"}}, ["cache_kwargs.usernam", "'username'"]),
    "cloud login": ({"redis_host": "h", "cache_kwargs": {"aws_iam_auth": True}}, ["aws_iam_auth", "credential_prov"]),
    "cache_kwargs": ({"cache_kwargs": []}, ["cache_kwargs", "mapping"]),
    "namespace": ({"redis_url": "redis://h", "redis_namespace": "{x}"}, ["redis_namespace", "{ or }"]),
    "no nodes": ({"cache_kwargs": {"startup_nodes": []}}, ["startup_nodes", "at least one"]),
    "nodes as text": ({"cache_kwargs": {"startup_nodes": "h:1"}}, ["startup_nodes", "JSON"]),
    "node without host": ({"cache_kwargs": {"startup_nodes": [{"port": 1}]}}, ["startup_nodes[0].host"]),
    "node of three": ({"cache_kwargs": {"startup_nodes": [("h", 1, 2)]}}, ["startup_nodes[0]", "host and a port"]),
    "cluster with db": ({"redis_db": 1, "cache_kwargs": {"startup_nodes": NODES}}, ["redis_db", "one database"]),
    "no service": ({"cache_kwargs": {"sentinel_nodes": NODES}}, ["cache_kwargs.service_name", "missing"]),
    "no sentinels": ({"cache_kwargs": {"service_name": "m"}}, ["cache_kwargs.sentinel_nodes", "missing"]),
    "asyncio client": ({"redis_client": redis.asyncio.Redis()}, ["redis_client", "asyncio", "redis.Redis"]),
    "sentinel object": ({"redis_client": redis.Sentinel([("h", 1)])}, ["redis_client", "master_for"]),
    "no client": ({"redis_client": "redis://h"}, ["redis_client", "a str"]),
    "client and host": ({"redis_client": redis.Redis(), "redis_host": "h"}, ["redis_client", "leave"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings(case: str) -> None:
    settings, words = BAD[case]
    with pytest.raises(ConfigError) as caught:
        Router([ROW], **settings)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.__cause__)


def test_without_redis_settings_there_is_no_redis() -> None:
    assert redis_settings({}) is None
    assert redis_settings({"cache_kwargs": {}, "timeout": 3}) is None


def test_no_repr_shows_a_secret() -> None:
    settings = redis_settings({"redis_url": "redis://me:secret@h/1", "cache_kwargs": {"password": "secret"}})
    assert settings is not None
    for text in (repr(settings), repr(RedisClient(settings))):
        assert "secret" not in text
        assert "me" not in text.replace("namespace", "")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'turnout\[redis\]'"):
        RedisClient(RedisSettings(url="redis://127.0.0.1"))


def connected(**given: Any) -> Any:
    settings = redis_settings(given)
    assert settings is not None
    return RedisClient(settings)


def check(holder: RedisClient) -> None:
    """It connects, writes, and has bytes and short timeouts, whatever the settings came as."""
    client = holder.get()
    client.set("key", b"\xff")
    assert client.get("key") == b"\xff"
    pool = client.get_node_from_key("key").redis_connection if hasattr(client, "nodes_manager") else client
    connection = pool.connection_pool.make_connection()
    assert (connection.socket_connect_timeout, connection.socket_timeout) == (CONNECT_TIMEOUT, READ_TIMEOUT)
    assert connection.retry._retries == 0
    holder.ping()
    holder.drop()


@pytest.fixture
def secured() -> Any:
    with ValkeyServer("--requirepass", "a password") as server:
        yield server


def test_the_ways_to_name_one_server(secured: ValkeyServer) -> None:
    port, password = secured.port, "a password"
    check(connected(redis_url=f"redis://:a%20password@127.0.0.1:{port}/2"))
    check(connected(redis_url=f"redis://127.0.0.1:{port}", redis_password=password))
    check(connected(redis_host="127.0.0.1", redis_port=str(port), redis_password=password, redis_db="3"))
    options = {"host": "127.0.0.1", "port": port, "username": "default", "password": password, "ssl": "false"}
    check(connected(cache_kwargs=options))
    theirs = redis.Redis(port=port, password=password, decode_responses=True, socket_timeout=30)
    check(connected(redis_client=theirs))
    assert theirs.ping(), "theirs is left as it is"
    theirs.close()


def test_a_socket_on_this_machine(tmp_path: Any) -> None:
    path = str(tmp_path / "valkey.sock")
    with ValkeyServer("--unixsocket", path):
        check(connected(redis_url=f"unix://{path}"))
        check(connected(cache_kwargs={"unix_socket_path": path}))
        with redis.Redis(unix_socket_path=path) as theirs:
            check(connected(redis_client=theirs))


def test_the_ways_to_name_a_cluster(valkey_cluster: ValkeyCluster) -> None:
    nodes = valkey_cluster.startup_nodes
    check(connected(cache_kwargs={"startup_nodes": nodes[:1]}))
    check(connected(cache_kwargs={"startup_nodes": f'[{{"host": "127.0.0.1", "port": {nodes[0]["port"]}}}]'}))
    theirs = redis.RedisCluster(host="127.0.0.1", port=nodes[1]["port"], decode_responses=True)
    check(connected(redis_client=theirs))
    theirs.close()


def test_the_ways_to_name_a_sentinel(valkey_sentinel: ValkeySentinel) -> None:
    place = {"sentinel_nodes": valkey_sentinel.sentinel_nodes, "service_name": valkey_sentinel.service}
    check(connected(cache_kwargs=place))
    sentinel = redis.Sentinel(valkey_sentinel.sentinel_nodes, decode_responses=True)
    theirs = sentinel.master_for(valkey_sentinel.service)
    check(connected(redis_client=theirs))
    theirs.close()
    for one in sentinel.sentinels:
        one.close()
