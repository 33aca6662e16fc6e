"""The turn store of one process: bounded in bytes, least recently used out first, a time to live for each entry."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from turnout_adapters.forks import Guard

_OVERHEAD = 560
"""Bytes that an entry costs besides its value: its key, its places in tables, the allocator's own ..."""
_WASTE = 16
"""... and this part of the value, for the gaps that values of many sizes leave. Both are measured on a full store."""
_SLOTS = 16
"""Into so many slots of the timing wheel a time to live is cut at least; twice as many at most."""
_SWEEP = 16
"""So many expired entries leave at most with each entry that is written: no write waits for a whole slot."""
_DEFAULT = 256 * 2**20

_Entry = tuple[bytes, float, float]
"""The value, when it expires, and its slot. A bare tuple: the garbage collector stops looking at those."""


class MemoryTurns:
    """Keeps turns in up to `max_bytes` bytes (default 256 MiB), keys, tables and all. Safe for threads.

    What is used least recently leaves first; reading and touching are uses. An expired entry is never returned, and
    leaves with later writes, at most a sixteenth of its time to live late if there are enough of them. An entry that
    alone exceeds `max_bytes` is written and leaves at once: so does what was there under its key, and nothing else.

    Every step is O(1) in the number of entries. Expired entries are found by a timing wheel with slots of 1/32 to 1/16
    of the time to live (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987).
    """

    remote = False

    def __init__(self, max_bytes: int = _DEFAULT, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._timer = timer
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._slots: dict[float, set[str]] = {}
        self._next_slot = math.inf
        self._bytes = 0
        self._lock = Guard()

    def __repr__(self) -> str:
        return f"MemoryTurns({self._max_bytes})"

    def __len__(self) -> int:
        """Entries kept, the expired ones that have not left yet included."""
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes in use as they are counted: 17/16 of the values, and 560 for each entry."""
        return self._bytes

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys; None for what is unknown or expired."""
        with self._lock():
            now = self._timer()
            return [self._get(key, now) for key in keys]

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        """Keeps the entries for `ttl` seconds; an earlier one may leave to make room for a later one."""
        with self._lock():
            now = self._timer()
            for key, value in entries.items():
                self._put(key, value, now, ttl)

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        """Gives entries `ttl` seconds from now."""
        with self._lock():
            now = self._timer()
            for key in keys:
                value = self._get(key, now)
                if value is not None:
                    self._put(key, value, now, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        """Writes `new` if the value is `old`. True also if `new` is too large to stay."""
        with self._lock():
            now = self._timer()
            if self._get(key, now) != old:
                return False
            self._put(key, new, now, ttl)
            return True

    def erase(self, keys: Sequence[str]) -> None:
        """Forgets the keys."""
        with self._lock():
            for key in keys:
                self._drop(key)

    def close(self) -> None:
        """There are no connections; the entries stay."""

    def _get(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires, _ = entry
        if expires <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    def _put(self, key: str, value: bytes, now: float, ttl: float) -> None:
        self._drop(key)
        self._sweep(now)
        size = _size(value)
        if size > self._max_bytes or ttl <= 0:
            return
        while self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        expires = now + ttl
        slot = _slot(expires, ttl)
        self._entries[key] = (value, expires, slot)
        self._slots.setdefault(slot, set()).add(key)
        self._next_slot = min(self._next_slot, slot)
        self._bytes += size

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            value, _, slot = entry
            self._slots[slot].discard(key)
            self._bytes -= _size(value)

    def _sweep(self, now: float) -> None:
        """Drops some of the entries whose slot is over."""
        for _ in range(_SWEEP):
            if self._next_slot > now:
                return
            keys = self._slots[self._next_slot]
            if keys:
                self._drop(keys.pop())
            else:
                del self._slots[self._next_slot]
                self._next_slot = min(self._slots, default=math.inf)


def _size(value: bytes) -> int:
    return len(value) + len(value) // _WASTE + _OVERHEAD


def _slot(expires: float, ttl: float) -> float:
    """When the slot is over in which an entry expires: the next multiple of a power of two."""
    width = 2.0 ** (math.frexp(ttl / _SLOTS)[1] - 1)
    return math.ceil(expires / width) * width
