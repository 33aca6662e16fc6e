"""Turns of conversations on Redis."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnout.cache.background import Background
from turnout.cache.redis_client import RedisClient
from turnout.config.redis import RedisSettings

_SWAP = """
local found = redis.call('GET', KEYS[1])
if ARGV[1] == '1' then
    if found ~= ARGV[2] then return 0 end
elseif found then
    return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
"""ARGV: '1' if there is an old value, the old value, the new one, its milliseconds to live."""


class RedisTurns:
    """A TurnStore: one key of Redis for each key, `<namespace>:turn:<key>`, with Redis' own time to live.

    The commands of one call go out together, on a Cluster together to each node. For one thread at a time.
    """

    remote = True

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._prefix = f"{client.namespace}:turn:"

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys."""
        return self._together([("GET", self._prefix + key) for key in keys])

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        """Keeps the entries for `ttl` seconds."""
        life = _milliseconds(ttl)
        self._together([("SET", self._prefix + key, value, "PX", life) for key, value in entries.items()])

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        """Gives entries `ttl` seconds from now."""
        self._together([("PEXPIRE", self._prefix + key, _milliseconds(ttl)) for key in keys])

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        """Writes `new` if the value is `old`, in one step on the server."""
        has_old = "0" if old is None else "1"
        command = ("EVAL", _SWAP, 1, self._prefix + key, has_old, old or b"", new, _milliseconds(ttl))
        return self._together([command])[0] == 1

    def erase(self, keys: Sequence[str]) -> None:
        """Forgets the keys."""
        self._together([("DEL", self._prefix + key) for key in keys])

    def close(self) -> None:
        """Gives the connections back."""
        self._client.drop()

    def _together(self, commands: Sequence[tuple[object, ...]]) -> list[Any]:
        if not commands:
            return []
        with self._client.dropped_on_failure() as redis, redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return pipe.execute()


def redis_turns(settings: RedisSettings) -> tuple[RedisTurns, Background]:
    """A store of turns and the one thread that drives it; the store's methods are to be called in there only."""
    client = RedisClient(settings)
    return RedisTurns(client), Background("transcripts", client.ping)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
