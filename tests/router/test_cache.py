"""The store of one process is bounded; what else it promises is the conformance kit's to ask."""

from turnout.cache.memory import MemoryStore


def test_the_least_recently_used_leave_first() -> None:
    store = MemoryStore(entries=3)
    for name in "abc":
        store.set(name, "x", ttl=100)
    assert store.get("a") == "x"
    store.set("d", "x", ttl=100)
    assert [name for name in "abcd" if store.get(name) is not None] == ["a", "c", "d"]
    assert len(store) == 3
