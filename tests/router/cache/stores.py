"""The turn stores that the tests compare, each on a clock that a test can move."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from turnout.cache.memory_turns import MemoryTurns
from turnout.cache.redis_client import RedisClient
from turnout.cache.redis_turns import RedisTurns
from turnout.cache.sealed_turns import SealedTurns
from turnout.cache.sql_turns import SQLTurns
from turnout.config.redis import RedisSettings
from turnout.protocols import TurnStore

VIRTUAL = ("memory", "sealed memory", "sqlite", "sealed sqlite", "postgres")
ALL = (*VIRTUAL, "redis")
SECRETS = ("a new secret", "an old secret")
_numbers = itertools.count()


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Opened:
    """A store, how to get at its entries from elsewhere, and how to let time pass."""

    store: TurnStore
    another: Callable[[], TurnStore]
    """A store with connections of its own on the same entries; for memory the same one."""
    advance: Callable[[float], None]
    hour: float = 3600.0
    """A time to live that a test can wait for."""
    slack: float = 0.0
    """The part of the time to live by which a touch may be off."""


@contextmanager
def opened(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """An empty store of a kind."""
    clock, made = Clock(), list[TurnStore]()
    number = next(_numbers)

    def memory() -> TurnStore:
        return made[0] if made else MemoryTurns(timer=clock)

    def sqlite() -> TurnStore:
        return SQLTurns(f"sqlite:///{folder}/turns{number}.db", timeout=30.0, clock=clock)

    def postgres() -> TurnStore:
        return SQLTurns(request.getfixturevalue("postgres").url, f"turns{number}", timeout=30.0, clock=clock)

    def redis() -> TurnStore:
        return RedisTurns(RedisClient(RedisSettings(url=request.getfixturevalue("valkey").url)))

    def another() -> TurnStore:
        plain = {"memory": memory, "sqlite": sqlite, "postgres": postgres, "redis": redis}[kind.rsplit(maxsplit=1)[-1]]
        store = plain()
        if kind.startswith("sealed") and not isinstance(store, SealedTurns):
            store = SealedTurns(store, SECRETS)
        made.append(store)
        return store

    slack = 1 / 64 if kind.rsplit(maxsplit=1)[-1] in ("sqlite", "postgres") else 0.0
    try:
        if kind == "redis":
            yield Opened(another(), another, time.sleep, hour=0.5)
        else:
            yield Opened(another(), another, clock.advance, slack=slack)
    finally:
        for store in made:
            store.close()
