"""The store of one process: bounded, with a time to live for each entry."""

import time
from collections.abc import Callable

from cachetools import TLRUCache

from turnout_adapters.forks import Guard


class MemoryStore:
    """Keeps up to `entries` facts (default 100,000), least recently used out first. Safe for threads."""

    def __init__(self, entries: int = 100_000, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._entries: TLRUCache[str, tuple[str, float]] = TLRUCache(entries, ttu=_expiry, timer=timer)
        self._lock = Guard()

    def get(self, key: str) -> str | None:
        """The value, None if unknown or expired."""
        with self._lock():
            entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def set(self, key: str, value: str, ttl: float) -> None:
        """Keeps the value for at most `ttl` seconds."""
        with self._lock():
            self._entries[key] = (value, ttl)

    def delete(self, key: str) -> None:
        """Forgets the key."""
        with self._lock():
            self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


def _expiry(_key: str, value: tuple[str, float], now: float) -> float:
    return now + value[1]
