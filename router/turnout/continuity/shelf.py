"""Where turns are kept: a store in this process, and behind it, if there is one, a store that all processes share.

The near store answers at once; the far one works in threads of its own, and a call waits for it only as long as it is
known to be well. What the far store says counts: a turn that was deleted there is gone, whatever is near. What it does
not know but this process wrote (it was flushed, or down then) is written to it again. What another process wrote is
only borrowed: its age is the far store's to know, so a copy of it is kept for a short time and never written back.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, TypeGuard

from turnout.continuity.turns import GONE
from turnout.continuity.waiting import succeeded
from turnout.engine.port import IO
from turnout.errors import PinnedUnavailable
from turnout.protocols import Background, Job, TurnStore
from turnout_adapters.forks import Guard

_PATIENCE = 8.0
"""A call waits for the far store this many times what its work takes lately ..."""
_LEAST_WAIT, LONGEST_WAIT = 0.002, 0.05
"""... within these bounds (seconds), where it can go on without."""
_SECOND_LOOKS = (0.005, 0.015, 0.03)
"""Pauses before an entry is looked for again that another process may have handed to the far store a moment ago."""
_LONGEST_READ = 2.0
"""Seconds to wait for turns that only the far store has."""
_LONGEST_LOAN = 3600.0
_LOAN = 1 / 8
"""A copy of what another process wrote is used for this part of the time to live at most, and no longer than that."""
_BORROWED = b"\0"
"""In front of such a copy. No entry begins so: they are JSON."""
_MOST_OWED = 10_000
_OWED_AT_ONCE = 100
UNREACHABLE = "the store that holds this conversation cannot be reached"


class Shelf:
    """Reads and writes entries, near first. `far` and `background` come together.

    `write_wait` is the longest that a call waits, in seconds, to hear that its turn is safe in the far store.
    """

    def __init__(
        self,
        near: TurnStore,
        far: TurnStore | None = None,
        background: Background | None = None,
        *,
        ttl: float,
        write_wait: float = LONGEST_WAIT,
    ) -> None:
        self._near = near
        self._far = far
        self._background = background
        self._ttl = ttl
        self._write_wait = write_wait
        self._owed: dict[str, None] = {}
        """Keys that the far store has not been given yet, oldest first."""
        self._lock = Guard()

    @property
    def reachable(self) -> bool:
        """False while the shared store is known to be away: what all processes must agree on cannot be changed."""
        return self._background is None or self._background.healthy

    async def read(
        self, keys: Sequence[str], io: IO, until: float = inf, *, recent: bool = False
    ) -> list[bytes | None]:
        """The entries in the order of the keys; None for what is unknown, expired or deleted.

        Waits until then at most, if need be. `recent` ones may have been written by another process a moment ago: an
        unknown one is looked for again for 50 ms. Raises PinnedUnavailable if only the far store could tell, and it
        cannot be reached.
        """
        found = await self._read(keys, io, until)
        for pause in _SECOND_LOOKS if recent and self._far is not None else ():
            if None not in found or io.now() + pause > until:
                break
            await io.wait(io.waiter(), pause)
            found = await self._read(keys, io, until)
        return [value or None for value in found]

    async def _read(self, keys: Sequence[str], io: IO, until: float) -> list[bytes | None]:
        """As `read`, the marks of what was deleted included."""
        held = self._near.read(keys)
        near = [None if value is None else value.removeprefix(_BORROWED) for value in held]
        if self._far is None:
            return near
        whole = all(value is not None for value in near)
        far = self._far
        patience = self._patience() if whole else _LONGEST_READ
        job = await self._do(lambda: far.read(keys), io, min(patience, max(until - io.now(), 0.0)))
        if job is None:
            if not whole:
                raise PinnedUnavailable(UNREACHABLE, retry_after=1.0)
            return near
        found: list[bytes | None] = job.value
        self._agree(keys, held, found)
        return [mine if theirs is None else theirs for mine, theirs in zip(near, found, strict=True)]

    async def write(self, entries: Mapping[str, bytes], io: IO, touched: Sequence[str] = ()) -> None:
        """Keeps the entries; returns once they are safe, or cannot be now. `touched` entries live on as long."""
        self._near.write(entries, self._ttl)
        if touched:
            self._near.touch(touched, self._ttl)
        if self._far is None:
            return
        self._owe(entries)
        await self._do(lambda: self._pay(entries, touched), io, min(self._patience(), self._write_wait))

    async def swap(self, key: str, old: bytes | None, new: bytes, io: IO) -> bool:
        """Writes `new` if the entry is still `old`. Raises PinnedUnavailable if the far store cannot be reached."""
        if self._far is None:
            return self._near.swap(key, old, new, self._ttl)
        far = self._far
        job = await self._do(lambda: far.swap(key, old, new, self._ttl), io, _LONGEST_READ)
        if job is None:
            raise PinnedUnavailable(UNREACHABLE, retry_after=1.0)
        if job.value:
            self._near.write({key: new}, self._ttl)
        return bool(job.value)

    async def erase(self, keys: Sequence[str], io: IO) -> None:
        """Deletes the entries for good. Raises PinnedUnavailable if the far store could not be told yet."""
        graves = dict.fromkeys(keys, GONE)
        self._near.write(graves, self._ttl)
        if self._far is None:
            return
        self._owe(keys)
        if await self._do(lambda: self._pay(graves, ()), io, _LONGEST_READ) is None:
            raise PinnedUnavailable(UNREACHABLE, retry_after=1.0)

    def close(self, timeout: float = 1.0) -> None:
        """Lets the far store finish, for so many seconds."""
        if self._background is not None:
            self._background.close(timeout)
        if self._far is not None:
            self._far.close()

    # --- the far store

    def _patience(self) -> float:
        typical = 0.0 if self._background is None else self._background.typical
        return min(max(_PATIENCE * typical, _LEAST_WAIT), LONGEST_WAIT)

    async def _do(self, work: Any, io: IO, seconds: float) -> Job | None:
        """Work in the far store's thread; None if it failed, or was not done in time (it goes on then)."""
        background = self._background
        if background is None or not background.healthy:
            return None
        waiter = io.waiter()
        job = background.submit(work, waiter)
        return job if await succeeded(job, waiter, io, seconds) else None

    def _pay(self, entries: Mapping[str, bytes], touched: Sequence[str]) -> None:
        """Runs in the far store's thread: these entries, and some of those it missed while it was away."""
        if self._far is None:
            return
        with self._lock():
            owed = [key for key, _ in zip(self._owed, range(_OWED_AT_ONCE), strict=False) if key not in entries]
        self._far.write({**self._late(self._far, owed), **entries}, self._ttl)
        if touched:
            self._far.touch(touched, self._ttl)
        self._settle([*owed, *entries])

    def _late(self, far: TurnStore, owed: Sequence[str]) -> dict[str, bytes]:
        """Entries that the far store missed, as they are now; not those that another process deleted meanwhile."""
        if not owed:
            return {}
        pairs = zip(owed, self._near.read(owed), far.read(owed), strict=True)
        return {key: mine for key, mine, theirs in pairs if _is_own(mine) and (theirs is None or mine == GONE)}

    def _owe(self, keys: Iterable[str]) -> None:
        with self._lock():
            self._owed |= dict.fromkeys(keys)
            for key in list(self._owed)[: max(len(self._owed) - _MOST_OWED, 0)]:
                del self._owed[key]

    def _settle(self, keys: Iterable[str]) -> None:
        with self._lock():
            for key in keys:
                self._owed.pop(key, None)

    def _agree(self, keys: Sequence[str], held: Sequence[bytes | None], far: Sequence[bytes | None]) -> None:
        """After both were read: deletions and what is new come near, what was lost goes back to the far store."""
        missing: list[str] = []
        loan = min(self._ttl * _LOAN, _LONGEST_LOAN)
        for key, mine, theirs in zip(keys, held, far, strict=True):
            if theirs is None and mine and _is_own(mine):
                missing.append(key)
            elif theirs == GONE and mine != GONE:
                self._near.write({key: GONE}, loan)
            elif theirs and theirs != (mine or b"").removeprefix(_BORROWED):
                self._near.write({key: _BORROWED + theirs}, loan)
        if missing and self._background is not None:
            self._owe(missing)
            self._background.submit(lambda: self._pay({}, ()))


def _is_own(held: bytes | None) -> TypeGuard[bytes]:
    """True for an entry, or a deletion, that this process made."""
    return held is not None and not held.startswith(_BORROWED)
