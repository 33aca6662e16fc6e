"""Our turn stores as the conformance kit opens them: on a clock that a test can move, where there is one."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnout.cache.memory_turns import MemoryTurns
from turnout.cache.redis_client import RedisClient
from turnout.cache.redis_turns import RedisTurns
from turnout.cache.sealed_turns import SealedTurns
from turnout.cache.sql_turns import SQLTurns
from turnout.config.redis import RedisSettings
from turnout.protocols import TurnStore
from turnout.testing import Opener

ALL = ("memory", "sealed memory", "sqlite", "sealed sqlite", "postgres", "redis", "cluster")
SECRETS = ("a new secret", "an old secret")
_HOUR = 3600.0
_numbers = itertools.count()


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def redis_at(kind: str, request: pytest.FixtureRequest) -> RedisSettings:
    """A server that stands alone, or a Cluster."""
    if kind == "redis":
        return RedisSettings(url=request.getfixturevalue("valkey").url)
    nodes = [(one["host"], one["port"]) for one in request.getfixturevalue("valkey_cluster").startup_nodes]
    return RedisSettings(request.node.name.replace("[", "-").replace("]", ""), startup_nodes=tuple(nodes))


@contextmanager
def opened(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Opener[TurnStore]]:
    """Stores of a kind, on entries of their own; what was opened is closed at the end."""
    clock, made, number = Clock(), list[TurnStore](), next(_numbers)
    plain_kind = kind.rsplit(maxsplit=1)[-1]

    def plain() -> TurnStore:
        if plain_kind == "memory":
            return MemoryTurns(timer=clock)
        if plain_kind == "sqlite":
            return SQLTurns(f"sqlite:///{folder}/turns{number}.db", timeout=30.0, clock=clock)
        if plain_kind == "postgres":
            return SQLTurns(request.getfixturevalue("postgres").url, f"turns{number}", timeout=30.0, clock=clock)
        return RedisTurns(RedisClient(redis_at(kind, request)))

    def make() -> TurnStore:
        store = SealedTurns(plain(), SECRETS) if kind.startswith("sealed") else plain()
        made.append(store)
        return store

    try:
        yield Opener(make) if plain_kind in ("redis", "cluster") else Opener(make, clock.advance, _HOUR)
    finally:
        for store in made:
            store.close()
