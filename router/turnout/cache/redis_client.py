"""A redis-py client from the settings: blocking, with short timeouts, for use in one thread at a time.

A call of the Router never uses it: it belongs to a thread (`cache/shared.py`, `cache/background.py`). Clients do not
try again by themselves: what failed is tried by the thread's next turn, on a new client, so that an address that moved
(a failover, a Cluster that was resharded, a name that resolves to another machine) is asked for again.
"""

import contextlib
from collections.abc import Generator, Mapping
from importlib import import_module
from typing import Any, cast

from turnout.config.redis import OPTIONS, RedisSettings
from turnout.errors import ConfigError
from turnout_adapters.forks import in_forked_children

CONNECT_TIMEOUT = 0.5
"""Seconds, unless the settings say otherwise (`socket_connect_timeout`)."""
READ_TIMEOUT = 1.0
"""Seconds, unless the settings say otherwise (`socket_timeout`)."""
_PING_LIFE = 60_000


class RedisClient:
    """Holds a client, made at the first use and made anew after a failure."""

    def __init__(self, settings: RedisSettings) -> None:
        try:
            import_module("redis")  # an extra, loaded only for who uses Redis
        except ImportError:
            problem = "redis_url and the like need redis-py: pip install 'turnout[redis]'"
            raise ConfigError(problem, param="redis_url") from None
        self.namespace = settings.namespace
        self._settings = settings
        self._client: Any = None
        in_forked_children(self._begin)

    def _begin(self) -> None:
        """In a forked child: the client and its locks are the parent's."""
        self._client = None

    def get(self) -> Any:
        """The client. May raise what connecting raises: a Cluster's client connects when it is made."""
        if self._client is None:
            self._client = _connect(self._settings)
        return self._client

    @contextlib.contextmanager
    def dropped_on_failure(self) -> Generator[Any]:
        """The client for some commands; if one of them fails, the next use makes a new client."""
        try:
            yield self.get()
        except BaseException:
            self.drop()
            raise

    def ping(self) -> None:
        """Raises unless Redis, on a Cluster every node, answers, and takes a write."""
        with self.dropped_on_failure() as client:
            client.set(f"{self.namespace}:ping", b"1", px=_PING_LIFE)
            if hasattr(client, "nodes_manager"):
                client.ping(target_nodes="primaries")

    def drop(self) -> None:
        """Closes the client's connections; the next `get` makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it is being thrown away, in whatever state it is
                client.close()

    def __repr__(self) -> str:
        return f"RedisClient({self._settings!r})"


def _connect(settings: RedisSettings) -> Any:
    from redis import Redis  # noqa: PLC0415 (an extra)

    options = {**_ours(), **settings.options}
    if settings.client is not None:
        return _like(settings.client, options)
    if settings.startup_nodes:
        return _cluster(settings.startup_nodes, options)
    if settings.sentinel_nodes:
        return _master(settings, options)
    if settings.url is not None:
        return cast("Any", Redis).from_url(settings.url, **options)
    return Redis(**options)


def _ours() -> dict[str, Any]:
    """What every connection has: bytes in and out, short timeouts, no retries."""
    from redis.backoff import NoBackoff  # noqa: PLC0415 (an extra)
    from redis.retry import Retry  # noqa: PLC0415 (an extra)

    return {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": READ_TIMEOUT,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
    }


def _cluster(nodes: Any, options: Mapping[str, Any]) -> Any:
    from redis.cluster import ClusterNode, RedisCluster  # noqa: PLC0415 (an extra)

    return RedisCluster(startup_nodes=[ClusterNode(host, port) for host, port in nodes], **options)


def _master(settings: RedisSettings, options: Mapping[str, Any]) -> Any:
    """A client of the master that the Sentinels name; every new connection asks them again."""
    from redis.sentinel import Sentinel  # noqa: PLC0415 (an extra)

    login = ("username", "password", "credential_provider", "db", "client_name")
    to_sentinels = {name: value for name, value in options.items() if name not in login}
    if settings.sentinel_password is not None:
        to_sentinels["password"] = settings.sentinel_password
    sentinel = Sentinel(list(settings.sentinel_nodes), sentinel_kwargs=to_sentinels, **options)
    return cast("Any", sentinel).master_for(settings.service_name)


def _like(client: Any, ours: Mapping[str, Any]) -> Any:
    """A client of our own to where the given one leads, with its login: its timeouts and decoding are not for us."""
    from redis import ConnectionPool, Redis  # noqa: PLC0415 (an extra)

    if hasattr(client, "nodes_manager"):
        manager = client.nodes_manager
        nodes = [(node.host, node.port) for node in manager.startup_nodes.values()]
        return _cluster(nodes, {**_connection_options(manager.connection_kwargs), **ours})
    pool = client.connection_pool
    options = {**_connection_options(pool.connection_kwargs), **ours}
    if hasattr(pool, "sentinel_manager"):
        return pool.sentinel_manager.master_for(pool.service_name, connection_class=pool.connection_class, **options)
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))


def _connection_options(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in OPTIONS or name == "path"}
