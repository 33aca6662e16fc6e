"""The store of one process: bounded, and nothing outlives its time."""

from turnout.cache.memory import MemoryStore


def test_entries_expire_are_bounded_and_can_be_deleted() -> None:
    now = [0.0]
    store = MemoryStore(entries=3, timer=lambda: now[0])
    store.set("a", "1", ttl=10)
    store.set("b", "2", ttl=100)
    assert (store.get("a"), store.get("b"), store.get("c")) == ("1", "2", None)
    now[0] = 11.0
    assert (store.get("a"), store.get("b")) == (None, "2")
    for name in "cdef":
        store.set(name, "x", ttl=100)
    assert len(store) == 3
    store.delete("f")
    store.delete("unknown")
    assert store.get("f") is None
