"""The store of this process and the one behind it that all share: who is believed, and what is never brought back."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pytest

from turnout import PinnedUnavailable
from turnout.cache.background import Background
from turnout.cache.memory_turns import MemoryTurns
from turnout.continuity.shelf import Shelf
from turnout.engine.port import run_without_loop
from turnout.io.blocking import BlockingIO, BlockingWaiter
from turnout.io.event_loop import EventLoopIO

T = TypeVar("T")
TTL = 800.0
LOAN = TTL / 8
KEY, OTHER = "a" * 40, "b" * 40
RIGHT_AWAY = 10.0
"""Seconds of patience with a thread of this process, on a machine that is busy."""


class Line(MemoryTurns):
    """One process's connection to the shared store: it may be cut, hang, or lose its answers."""

    remote = True

    def __init__(self, shared: MemoryTurns) -> None:
        super().__init__()
        self.shared = shared
        self.cut = False
        self.free = threading.Event()
        self.free.set()
        self.calls = 0

    def _through(self, call: Callable[[], T]) -> T:
        self.calls += 1
        self.free.wait(RIGHT_AWAY)
        if self.cut:
            raise ConnectionError("cut")
        return call()

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._through(lambda: self.shared.read(keys))

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        self._through(lambda: self.shared.write(entries, ttl))

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        self._through(lambda: self.shared.touch(keys, ttl))

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        return self._through(lambda: self.shared.swap(key, old, new, ttl))


class PatientIO(BlockingIO):
    """Its clock stands still while a job is done, and only runs while one hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.hanging = False

    def now(self) -> float:
        return self.time

    async def wait(self, waiter: Any, seconds: float) -> None:
        assert isinstance(waiter, BlockingWaiter)
        if not self.hanging:
            waiter.wait(RIGHT_AWAY)
        self.time += seconds if self.hanging else 0.0


@dataclass
class Done:
    """A piece of work that was done at once."""

    value: Any = None
    error: BaseException | None = None
    done: bool = True


class AtOnce:
    """In the place of the threads, where examples are many: does what it is given in the caller's thread."""

    typical = 0.0
    healthy = True

    def __init__(self, line: Line) -> None:
        self.line = line

    def submit(self, work: Callable[[], Any], waiter: Any = None) -> Done:
        try:
            return Done(work())
        except ConnectionError as error:
            self.healthy = False
            return Done(error=error)

    def close(self, timeout: float) -> None:
        """There is nothing to end."""


class Process:
    """A shelf in front of a shared store."""

    def __init__(self, shared: MemoryTurns, timer: Callable[[], float], *, threads: bool = True) -> None:
        self.line = Line(shared)
        self.near = MemoryTurns(timer=timer)
        self.io = PatientIO()
        ping = partial(self.line.read, [KEY])
        self.background = Background("turns", ping, patience=RIGHT_AWAY) if threads else AtOnce(self.line)
        self.shelf = Shelf(self.near, self.line, self.background, ttl=TTL)

    def read(self, *keys: str) -> list[bytes | None]:
        return run_without_loop(self.shelf.read(keys, self.io))

    def write(self, key: str, value: bytes, touched: Sequence[str] = ()) -> None:
        run_without_loop(self.shelf.write({key: value}, self.io, touched))

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        return run_without_loop(self.shelf.swap(key, old, new, self.io))

    def erase(self, *keys: str) -> None:
        run_without_loop(self.shelf.erase(keys, self.io))

    def cut(self) -> None:
        """The shared store cannot be reached, and that is known."""
        self.line.cut = True
        with pytest.raises(PinnedUnavailable):
            self.read("0" * 40)
        assert not self.background.healthy

    def join(self) -> None:
        """It can be reached again, and that is known."""
        self.line.cut = False
        if isinstance(self.background, AtOnce):
            self.background.healthy = True
        until(lambda: self.background.healthy)

    def hang(self) -> None:
        self.line.free.clear()
        self.io.hanging = True

    def go_on(self) -> None:
        self.line.free.set()
        self.io.hanging = False

    def close(self) -> None:
        self.go_on()
        self.shelf.close()


def until(so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + RIGHT_AWAY
    while not so():
        assert time.monotonic() < give_up
        time.sleep(0.005)


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> MemoryTurns:
    return MemoryTurns(timer=clock)


@pytest.fixture
def two(clock: Clock, shared: MemoryTurns) -> Iterator[tuple[Process, Process]]:
    processes = Process(shared, clock), Process(shared, clock)
    yield processes
    for one in processes:
        one.close()


Two = tuple[Process, Process]


def test_what_one_writes_another_reads_and_what_one_deletes_is_gone_for_all(two: Two) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    assert other.read(KEY, OTHER) == [b"{1}", None]
    one.erase(KEY)
    assert other.read(KEY) == [None]
    assert one.read(KEY) == [None]


def test_without_a_shared_store_the_near_one_is_all(clock: Clock) -> None:
    shelf, io = Shelf(MemoryTurns(timer=clock), ttl=TTL), PatientIO()
    run_without_loop(shelf.write({KEY: b"{1}"}, io))
    assert run_without_loop(shelf.swap(KEY, b"{1}", b"{2}", io))
    assert run_without_loop(shelf.read([KEY], io)) == [b"{2}"]
    run_without_loop(shelf.erase([KEY], io))
    assert run_without_loop(shelf.read([KEY], io)) == [None]
    assert not run_without_loop(shelf.swap(KEY, b"{2}", b"{3}", io))


def test_while_it_cannot_be_reached_the_near_copy_serves_and_what_is_owed_is_paid_later(
    two: Two,
) -> None:
    one, other = two
    one.cut()
    calls = one.line.calls
    one.write(KEY, b"{1}")
    assert one.read(KEY) == [b"{1}"]
    assert one.line.calls == calls, "nobody waits for a store that is known to be down"
    with pytest.raises(PinnedUnavailable):
        one.read(KEY, OTHER)
    assert other.read(KEY) == [None]
    one.join()
    one.write(OTHER, b"{2}")
    assert other.read(KEY, OTHER) == [b"{1}", b"{2}"]
    calls = one.line.calls
    one.write("c" * 40, b"{3}")
    assert one.line.calls == calls + 1, "what is paid is not paid again"


def test_what_was_deleted_elsewhere_meanwhile_is_not_paid(two: Two) -> None:
    one, other = two
    one.cut()
    one.write(KEY, b"{1}")
    other.erase(KEY)
    one.join()
    one.write(OTHER, b"{2}")
    assert other.read(KEY) == [None]
    assert one.read(KEY) == [None]


def test_a_deletion_that_cannot_be_told_is_an_error_and_is_told_later(two: Two) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    assert other.read(KEY) == [b"{1}"]
    one.cut()
    with pytest.raises(PinnedUnavailable):
        one.erase(KEY)
    assert one.read(KEY) == [None]
    assert other.read(KEY) == [b"{1}"]
    one.join()
    one.write(OTHER, b"{2}")
    assert other.read(KEY) == [None]


def test_a_deletion_of_another_counts_also_for_a_copy_that_is_read_while_the_store_is_away(two: Two) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    other.erase(KEY)
    assert one.read(KEY) == [None]
    one.cut()
    assert one.read(KEY) == [None]


def test_after_a_flush_who_wrote_an_entry_brings_it_back(two: Two, shared: MemoryTurns) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    assert other.read(KEY) == [b"{1}"]
    shared.erase([KEY])
    assert other.read(KEY) == [b"{1}"], "a copy serves"
    assert shared.read([KEY]) == [None], "but it is not its own to write"
    assert one.read(KEY) == [b"{1}"]
    until(lambda: shared.read([KEY]) == [b"{1}"])


def test_an_entry_that_is_read_all_the_time_still_ends(two: Two, clock: Clock, shared: MemoryTurns) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    for _ in range(40):
        clock.time += TTL / 20
        one.read(KEY)
        found = other.read(KEY)
        assert found == [b"{1}"] or clock.time >= TTL
        assert found == [None] or clock.time < TTL + LOAN
    assert shared.read([KEY]) == [None]


def test_a_turn_that_is_continued_elsewhere_lives_on_for_all(two: Two, clock: Clock) -> None:
    one, other = two
    one.write(KEY, b"{1}")
    clock.time += TTL * 0.9
    other.write(OTHER, b"{2}", touched=[KEY])
    clock.time += TTL * 0.9
    assert one.read(KEY, OTHER) == [b"{1}", b"{2}"]
    clock.time += TTL * 0.2
    assert one.read(KEY, OTHER) == [None, None]


@pytest.mark.parametrize("late", [0.0, LOAN / 2])
def test_a_turn_that_is_continued_after_its_time_is_not_brought_back(two: Two, clock: Clock, late: float) -> None:
    one, _ = two
    one.write(KEY, b"{1}")
    clock.time += TTL + late
    one.write(OTHER, b"{2}", touched=[KEY])
    for each in two:
        assert each.read(KEY, OTHER) == [None, b"{2}"]


def test_a_store_that_hangs_is_waited_for_only_where_it_alone_knows(two: Two) -> None:
    one, _ = two
    one.write(KEY, b"{1}")
    one.hang()
    assert one.read(KEY) == [b"{1}"]
    assert one.io.time < 0.1
    one.write(OTHER, b"{2}")
    assert one.io.time < 0.2
    before = one.io.time
    for work in (lambda: one.read("c" * 40), lambda: one.swap(KEY, b"{1}", b"{3}"), lambda: one.erase(KEY)):
        with pytest.raises(PinnedUnavailable) as raised:
            work()
        assert raised.value.retry_after == 1.0
    assert one.io.time - before < 10


def test_of_two_swaps_one_wins_and_the_other_sees_it(two: Two) -> None:
    one, other = two
    one.write(KEY, b"{0}")
    assert other.read(KEY) == [b"{0}"]
    assert one.swap(KEY, b"{0}", b"{1}")
    assert not other.swap(KEY, b"{0}", b"{2}")
    assert other.read(KEY) == [b"{1}"]
    assert other.swap(KEY, b"{1}", b"{2}")
    assert one.read(KEY) == [b"{2}"]
    one.cut()
    with pytest.raises(PinnedUnavailable):
        one.swap(KEY, b"{2}", b"{3}")
    assert one.read(KEY) == [b"{2}"]


def test_a_call_that_is_cancelled_while_it_keeps_a_turn_loses_no_turn(shared: MemoryTurns, clock: Clock) -> None:
    process = Process(shared, clock)

    async def cancelled() -> None:
        process.line.free.clear()
        io = EventLoopIO()
        task = asyncio.create_task(process.shelf.write({KEY: b"{1}"}, io))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        process.line.free.set()
        await io.close()

    asyncio.run(cancelled())
    assert process.near.read([KEY]) == [b"{1}"]
    until(lambda: shared.read([KEY]) == [b"{1}"])
    process.close()


def test_what_another_process_has_just_written_is_looked_for_again() -> None:
    shared = MemoryTurns()
    reader, writer = (Process(shared, lambda: 0.0, threads=False) for _ in range(2))
    pauses: list[float] = []

    class Late(BlockingIO):
        """The turn arrives in the shared store while the reader waits."""

        async def wait(self, waiter: Any, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                writer.write(KEY, b"a turn")

    assert run_without_loop(reader.shelf.read([KEY], Late(), recent=True)) == [b"a turn"]
    assert len(pauses) == 2
    assert run_without_loop(reader.shelf.read([OTHER], Late(), recent=True)) == [None]
    assert len(pauses) == 5
    assert run_without_loop(reader.shelf.read([OTHER], Late())) == [None]
    assert len(pauses) == 5


def test_a_deleted_turn_is_not_looked_for_again() -> None:
    one = Process(MemoryTurns(), lambda: 0.0, threads=False)
    one.write(KEY, b"a turn")
    one.erase(KEY)
    before = one.io.time
    assert run_without_loop(one.shelf.read([KEY], one.io, recent=True)) == [None]
    assert one.io.time == before
