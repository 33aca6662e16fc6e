"""Where Redis is: LiteLLM's settings, a URL, nodes of a Cluster or Sentinels, or a client object, as one frozen value.

Nothing in an error or a repr tells a password, a user name or more of a URL than its scheme.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlsplit

from turnout.config import check
from turnout_adapters.registry import nearest

NAMES = ("redis_url", "redis_host", "redis_port", "redis_password", "redis_db", "redis_client", "redis_namespace")
"""The Router's keywords, besides `cache_kwargs`."""
_CLOUD_LOGINS = ("gcp_", "azure_", "aws_")
_SCHEMES = ("redis", "rediss", "unix")


def _whole(value: object, field: str) -> int:
    """A whole number, or its digits: an environment variable holds text."""
    return check.whole(int(value) if isinstance(value, str) and value.isdecimal() else value, field)


def _seconds(value: object, field: str) -> float:
    return check.number(value, field, positive=True)


def _flag(value: object, field: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return check.flag(words.get(value.lower(), value) if isinstance(value, str) else value, field)


def _as_given(value: object, field: str) -> object:  # noqa: ARG001 (a reader like the others)
    return value


OPTIONS: Mapping[str, Callable[[object, str], object]] = {
    "host": check.text,
    "port": _whole,
    "db": _whole,
    "username": check.text,
    "password": check.text,
    "credential_provider": _as_given,
    "ssl": _flag,
    "ssl_keyfile": check.text,
    "ssl_certfile": check.text,
    "ssl_password": check.text,
    "ssl_ca_certs": check.text,
    "ssl_ca_path": check.text,
    "ssl_ca_data": check.text,
    "ssl_cert_reqs": _as_given,
    "ssl_check_hostname": _flag,
    "socket_timeout": _seconds,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _flag,
    "health_check_interval": _whole,
    "client_name": check.text,
    "protocol": _whole,
}
"""Options of a connection, as redis-py names them, and how each is read."""
_PLACES = (
    "url",
    "unix_socket_path",
    "startup_nodes",
    "sentinel_nodes",
    "service_name",
    "sentinel_password",
    "namespace",
)


@dataclass(frozen=True, slots=True, repr=False)
class RedisSettings:
    """Where Redis is and how to log in; exactly one of url, startup_nodes, sentinel_nodes, client or options' host.

    `options` are those of a connection in redis-py's words; every key is kept under `namespace` (default "turnout").
    """

    namespace: str = "turnout"
    url: str | None = None
    startup_nodes: tuple[tuple[str, int], ...] = ()
    """Some nodes of a Cluster; it tells the others."""
    sentinel_nodes: tuple[tuple[str, int], ...] = ()
    service_name: str = ""
    """The master's name among the Sentinels."""
    sentinel_password: str | None = None
    client: Any = None
    """A sync client of the user's; what we use is connections of our own to the same place."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __repr__(self) -> str:
        kind = "cluster" if self.startup_nodes else "sentinel" if self.sentinel_nodes else "single"
        return f"RedisSettings({kind}, namespace={self.namespace!r})"


def redis_settings(found: Mapping[str, Any]) -> RedisSettings | None:
    """Reads the Router's keywords; None if none of them names a Redis. Raises ConfigError naming keyword and fix."""
    given = {name.removeprefix("redis_"): (found[name], name) for name in NAMES if name in found}
    extra = check.mapping(found.get("cache_kwargs", {}), "cache_kwargs")
    given |= {name: (value, f"cache_kwargs.{name}") for name, value in extra.items() if value is not None}
    if not given:
        return None
    client = given.pop("client", None)
    places = {name: given.pop(name) for name in _PLACES if name in given}
    options = {name: _option(name)(value, where) for name, (value, where) in given.items()}
    namespace = _namespace(places)
    if "url" not in places and not options.get("ssl") and any(name.startswith("ssl_") for name in options):
        raise check.fail("cache_kwargs.ssl", "must be True for the other ssl_* options to mean anything")
    if client is not None:
        return RedisSettings(namespace, client=_client(client[0]), options=_beside_client(options, places))
    if "startup_nodes" in places:
        return RedisSettings(namespace, startup_nodes=_nodes(*places["startup_nodes"]), options=_clustered(options))
    if "sentinel_nodes" in places or "service_name" in places:
        return _sentinel(namespace, places, options)
    if "url" in places:
        url = _url(*places["url"])
        return RedisSettings(namespace, url=url, options=_beside_url(url, options))
    if "unix_socket_path" in places:
        return RedisSettings(namespace, url=f"unix://{quote(check.text(*places['unix_socket_path']))}", options=options)
    if "host" not in options:
        raise check.fail("redis_host", "is missing: give redis_host or redis_url, or leave the other redis_* out")
    return RedisSettings(namespace, options=options)


def _option(name: str) -> Callable[[object, str], object]:
    if name in OPTIONS:
        return OPTIONS[name]
    if name.startswith(_CLOUD_LOGINS):
        problem = "logins of clouds go through redis-py: give a `credential_provider` object, or a redis_client"
        raise check.fail(f"cache_kwargs.{name}", problem)
    raise check.fail(f"cache_kwargs.{name}", f"unknown option of Redis; {nearest(name, [*OPTIONS, *_PLACES])}")


def _namespace(places: dict[str, tuple[Any, str]]) -> str:
    name = check.text(*places.pop("namespace", ("turnout", "redis_namespace")))
    if any(mark in name for mark in "{}"):
        raise check.fail("redis_namespace", "must have no { or }: they decide where a Cluster keeps a key")
    return name


def _client(client: object) -> object:
    name = "redis_client"
    if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
        raise check.fail(name, "is an asyncio client; pass redis.Redis or redis.RedisCluster (it runs in a thread)")
    if hasattr(client, "master_for"):
        raise check.fail(name, "is a Sentinel; pass its client of the master, sentinel.master_for(name)")
    if not (hasattr(client, "connection_pool") or hasattr(client, "nodes_manager")):
        raise check.fail(name, f"must be a redis.Redis or redis.RedisCluster, got {check.shown(client)}")
    return client


def _beside_client(options: dict[str, Any], places: Mapping[str, Any]) -> dict[str, Any]:
    timeouts = {"socket_timeout", "socket_connect_timeout"}
    if places or options.keys() - timeouts:
        raise check.fail("redis_client", "says where Redis is already; leave the other redis_* and cache_kwargs out")
    return options


def _nodes(value: object, where: str) -> tuple[tuple[str, int], ...]:
    """Nodes as `{"host": ..., "port": ...}` or `(host, port)`; a string is JSON of such a list."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise check.fail(where, "must be a list of nodes, or JSON of one") from None
    nodes = [_node(one, f"{where}[{index}]") for index, one in enumerate(check.sequence(value, where, "nodes"))]
    if not nodes:
        raise check.fail(where, "is empty; give at least one node")
    return tuple(nodes)


def _node(value: object, where: str) -> tuple[str, int]:
    if isinstance(value, Mapping):
        node = cast("Mapping[str, object]", value)
        host, port = node.get("host"), node.get("port", 6379)
    else:
        pair = check.sequence(value, where)
        if len(pair) != 2:
            raise check.fail(where, "must be a host and a port")
        host, port = pair
    return check.text(host, f"{where}.host"), _whole(port, f"{where}.port")


def _clustered(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("db"):
        raise check.fail("redis_db", "a Cluster has one database only; leave it out")
    return {name: value for name, value in options.items() if name not in ("host", "port", "db")}


def _sentinel(namespace: str, places: Mapping[str, tuple[Any, str]], options: dict[str, Any]) -> RedisSettings:
    for name, other in (("sentinel_nodes", "service_name"), ("service_name", "sentinel_nodes")):
        if name not in places:
            raise check.fail(f"cache_kwargs.{name}", f"is missing: Sentinel needs it besides {other}")
    password = places.get("sentinel_password")
    return RedisSettings(
        namespace,
        sentinel_nodes=_nodes(*places["sentinel_nodes"]),
        service_name=check.text(*places["service_name"]),
        sentinel_password=None if password is None else check.text(*password),
        options={name: value for name, value in options.items() if name not in ("host", "port")},
    )


def _url(value: object, where: str) -> str:
    url = check.text(value, where)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:  # its text would show a part of the URL
        raise check.fail(where, "cannot be read: percent-encode / # ? and @ in user name and password") from None
    if not usable:
        raise check.fail(where, "must begin with redis://, rediss:// (TLS) or unix://")
    return url


def _beside_url(url: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a URL leaves open; as with LiteLLM, host and port are the URL's."""
    secured = url.startswith("rediss://")
    if options.pop("ssl", secured) is not secured or (not secured and any(name.startswith("ssl_") for name in options)):
        raise check.fail("redis_url", "TLS is the URL's to say: rediss:// is with it, redis:// without")
    return {name: value for name, value in options.items() if name not in ("host", "port")}
