"""Any sequence of steps has the same outcome in every store as in a dict; a bounded one, as in a list by last use."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.router.cache.stores import VIRTUAL, opened
from turnout.cache.memory_turns import MemoryTurns

KEYS = [f"{number:040x}" for number in range(5)]
FEW = st.lists(st.sampled_from(KEYS), max_size=6)
KEY = st.sampled_from(KEYS)
VALUES = st.sampled_from([b"", b"a", b"b", b"\xff\0" * 700])
TTLS = st.sampled_from([1.0, 64.0, 3600.0, 2592000.0])
STEPS = st.sampled_from([0.5, 1.0, 63.0, 3601.0, 2592000.0])


class AgainstADict(RuleBasedStateMachine):
    """The model: values and when they expire."""

    kind: str
    request: pytest.FixtureRequest

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        self.turns = self.open.enter_context(opened(self.kind, folder, self.request))
        self.now = 1_000_000.0
        self.model: dict[str, tuple[bytes, float]] = {}

    def teardown(self) -> None:
        self.open.close()

    def live(self, key: str) -> bytes | None:
        value, expires = self.model.get(key, (None, 0.0))
        return value if expires > self.now else None

    @rule(entries=st.dictionaries(KEY, VALUES, max_size=4), ttl=TTLS)
    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        self.turns.store.write(entries, ttl)
        self.model |= {key: (value, self.now + ttl) for key, value in entries.items()}

    @rule(keys=FEW, ttl=TTLS)
    def touch(self, keys: list[str], ttl: float) -> None:
        self.turns.store.touch(keys, ttl)
        until = self.now + ttl
        for key in keys:
            value = self.live(key)
            if value is not None and not abs(until - self.model[key][1]) <= self.turns.slack * ttl:
                self.model[key] = (value, until)

    @rule(key=KEY, old=st.none() | VALUES, new=VALUES, ttl=TTLS)
    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> None:
        fits = self.live(key) == old
        assert self.turns.store.swap(key, old, new, ttl) is fits
        if fits:
            self.model[key] = (new, self.now + ttl)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), new=VALUES, ttl=TTLS)
    def swap_what_is_there(self, data: Any, new: bytes, ttl: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        assert self.turns.store.swap(key, self.live(key), new, ttl)
        self.model[key] = (new, self.now + ttl)

    @rule(keys=FEW)
    def erase(self, keys: list[str]) -> None:
        self.turns.store.erase(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(seconds=STEPS)
    def let_time_pass(self, seconds: float) -> None:
        self.turns.advance(seconds)
        self.now += seconds

    @rule()
    def close(self) -> None:
        self.turns.store.close()

    @invariant()
    def reads_are_those_of_the_model(self) -> None:
        assert self.turns.store.read(KEYS) == [self.live(key) for key in KEYS]


@pytest.mark.parametrize("kind", VIRTUAL)
def test_a_store_is_a_dict_whose_entries_expire(kind: str, request: pytest.FixtureRequest) -> None:
    machine = type(f"Against_{kind}", (AgainstADict,), {"kind": kind, "request": request})
    few = settings(
        max_examples=60 if kind.endswith("memory") else 15,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)


USES = st.lists(st.tuples(st.sampled_from(["read", "write", "touch"]), KEY, st.integers(0, 1200)), max_size=60)


def cost(size: int) -> int:
    return size + size // 16 + 560


@given(uses=USES, room=st.integers(500, 4000))
@settings(deadline=None)
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
