"""Turns in memory: bounded in real bytes, and what has expired leaves."""

import tracemalloc

import pytest

from tests.router.cache.stores import Clock
from turnout.cache.memory_turns import MemoryTurns


@pytest.mark.parametrize("length", [0, 10, 2000])
def test_the_count_of_bytes_is_not_less_than_what_python_allocates(length: int) -> None:
    tracemalloc.start()
    try:
        store = MemoryTurns()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            store.write({f"{number:040x}": b"%d" % number * 4 + bytes(length)}, 3600.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * store.size < after - before <= store.size


def test_an_entry_that_is_too_large_takes_nothing_with_it_but_its_predecessor() -> None:
    store = MemoryTurns(4096)
    store.write({"a": b"1", "b": b"2"}, 60.0)
    store.write({"a": bytes(4096)}, 60.0)
    assert store.read(["a", "b"]) == [None, b"2"]
    assert store.swap("b", b"2", bytes(4096), 60.0)
    assert store.read(["b"]) == [None]
    assert store.size == 0


def test_what_has_expired_leaves_with_later_writes() -> None:
    clock = Clock()
    store = MemoryTurns(timer=clock)
    for number in range(1000):
        store.write({f"old {number}": b"x"}, 100.0)
    store.touch(["old 0"], 1000.0)
    clock.advance(100.0 + 100.0 / 16)
    assert len(store) == 1000
    for number in range(1000 // 16 + 5):
        store.write({f"new {number}": b"x"}, 3600.0)
    assert len(store) == 1 + 1000 // 16 + 5
    assert store.read(["old 0", "old 1"]) == [b"x", None]


def test_entries_that_never_live_are_not_kept() -> None:
    store = MemoryTurns()
    store.write({"a": b"1"}, 60.0)
    store.write({"a": b"2"}, 0.0)
    assert store.read(["a"]) == [None]
    assert len(store) == 0
