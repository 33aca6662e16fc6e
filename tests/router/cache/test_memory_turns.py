"""Turns in memory: bounded in real bytes, and what has expired leaves."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.router.cache.stores import Clock
from turnout.cache.memory_turns import MemoryTurns

KEYS = [f"{number:040x}" for number in range(5)]


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


USES = st.lists(
    st.tuples(st.sampled_from(["read", "write", "touch"]), st.sampled_from(KEYS), st.integers(0, 1200)), max_size=60
)


def cost(size: int) -> int:
    return size + size // 16 + 560


@given(uses=USES, room=st.integers(500, 4000))
def test_what_was_used_least_recently_leaves_first(uses: list[tuple[str, str, int]], room: int) -> None:
    store = MemoryTurns(room)
    model: dict[str, int] = {}
    for use, key, size in uses:
        known = model.pop(key, None)
        if use == "write":
            store.write({key: bytes(size)}, 60.0)
            known = size if cost(size) <= room else None
        elif use == "touch":
            store.touch([key], 60.0)
        else:
            assert store.read([key]) == [None if known is None else bytes(known)]
        if known is not None:
            model[key] = known
        while sum(map(cost, model.values())) > room:
            del model[next(iter(model))]
        assert len(store) == len(model)
        assert store.size == sum(map(cost, model.values())) <= room
    assert store.read(KEYS) == [None if key not in model else bytes(model[key]) for key in KEYS]
