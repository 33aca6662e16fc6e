"""Opens the turn stores that the settings name. What a store needs is imported when it is asked for."""

from collections.abc import Callable
from typing import Any, NamedTuple

from turnout.cache.memory_turns import MemoryTurns
from turnout.config.redis import RedisSettings
from turnout.config.transcripts import TranscriptSettings
from turnout.continuity.shelf import LONGEST_WAIT
from turnout.errors import ConfigError
from turnout.protocols import Background, TurnStore

_NEAR_BYTES = 64 * 2**20
"""Bytes kept in this process in front of a store that is shared."""
_REDIS_WAIT = 0.001
"""Seconds: whatever happens to Redis, it makes no call slower than that."""
_PATIENCE = 2.0
"""Seconds after which a store of the user's is held to hang."""


class Turns(NamedTuple):
    """Where turns are kept: in this process, and behind it in a store that is shared."""

    near: TurnStore
    far: TurnStore | None = None
    background: Background | None = None
    write_wait: float = LONGEST_WAIT
    """Seconds that a call waits at most to hear that its turn is safe there."""


def open_turns(
    settings: TranscriptSettings, secrets: tuple[str, ...], redis: RedisSettings | None, timer: Callable[[], float]
) -> Turns:
    """Near and far store. Connects to nothing yet. Raises ConfigError if something is not installed."""
    policy, chosen = settings.policy, settings.store
    if chosen is None:
        chosen = "memory" if redis is None else "redis"
    if chosen == "memory":
        return Turns(_sealed(MemoryTurns(policy.max_bytes, timer=timer), settings, secrets))
    far, background = _far(chosen, redis)
    if background is None:
        return Turns(_sealed(far, settings, secrets))
    near = MemoryTurns(min(policy.max_bytes, _NEAR_BYTES), timer=timer)
    wait = _REDIS_WAIT if chosen == "redis" else LONGEST_WAIT
    return Turns(near, _sealed(far, settings, secrets), background, wait)


def _far(chosen: Any, redis: RedisSettings | None) -> tuple[TurnStore, Background | None]:
    if chosen == "redis":
        if redis is None:
            raise ConfigError("transcripts.store: 'redis' needs redis_url or the like", param="transcripts.store")
        from turnout.cache.redis_turns import redis_turns  # noqa: PLC0415 (redis-py comes with the extra)

        return redis_turns(redis)
    if isinstance(chosen, str):
        from turnout.cache.sql_turns import sql_turns  # noqa: PLC0415 (SQLAlchemy comes with the extra)

        return sql_turns(chosen)
    if not getattr(chosen, "remote", True):
        return chosen, None
    from turnout.cache.background import Background as Threads  # noqa: PLC0415 (threads, for who needs them)

    probe = "0" * 40
    return chosen, Threads("transcripts", lambda: chosen.read([probe]), patience=_PATIENCE)


def _sealed(store: TurnStore, settings: TranscriptSettings, secrets: tuple[str, ...]) -> TurnStore:
    if not settings.policy.encrypt:
        return store
    from turnout.cache.sealed_turns import SealedTurns  # noqa: PLC0415 (cryptography comes with the extra)

    return SealedTurns(store, secrets)
