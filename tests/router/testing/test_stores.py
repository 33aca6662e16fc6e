"""Each rule for stores of facts catches a store that breaks it. Ours: `tests/router/cache/test_stores.py`."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from turnout.cache.background import Task
from turnout.cache.memory import MemoryStore
from turnout.protocols import Store, Wakes
from turnout.testing import STORE_RULES, Opener, check_store
from turnout.testing.rules import check_all

_now = [0.0]


def advance(seconds: float) -> None:
    _now[0] += seconds


class Right(MemoryStore):
    """On the tests' clock, with `lookup`."""

    def __init__(self) -> None:
        super().__init__(timer=lambda: _now[0])

    def lookup(self, keys: Sequence[str], waiter: Wakes | None = None) -> Task:
        task = Task(dict, waiter)
        task.finish({key: value for key in keys if (value := self.get(key)) is not None}, None)
        return task


class GivesBytes(Right):
    def get(self, key: str) -> Any:
        value = super().get(key)
        return None if value is None else value.encode()


class KnowsNoUnicode(Right):
    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key, value.encode("latin-1", "replace").decode("latin-1"), ttl)


class TakesEmptyForNothing(Right):
    def get(self, key: str) -> str | None:
        return super().get(key) or None


class CutsKeys(Right):
    def get(self, key: str) -> str | None:
        return super().get(key[:100])

    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key[:100], value, ttl)


class FoldsKeys(Right):
    def get(self, key: str) -> str | None:
        return super().get(key.casefold())

    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key.casefold(), value, ttl)


class RaisesForTheUnknown(Right):
    def delete(self, key: str) -> None:
        if self.get(key) is None:
            raise KeyError(key)
        super().delete(key)


class EmptyForTheUnknown(Right):
    def get(self, key: str) -> str | None:
        return super().get(key) or ""


class KeepsTheFirst(Right):
    def set(self, key: str, value: str, ttl: float) -> None:
        if self.get(key) is None:
            super().set(key, value, ttl)


class KeepsTheFirstTime(Right):
    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, float] = {}

    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key, value, self.ends.setdefault(key, _now[0] + ttl) - _now[0])


class ForgetsNothing(Right):
    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key, value, float("inf"))


class TakesSecondsForMilliseconds(Right):
    def set(self, key: str, value: str, ttl: float) -> None:
        super().set(key, value, ttl / 1000)


class DeletesNothing(Right):
    def delete(self, key: str) -> None:
        pass


class DeletesAll(Right):
    def delete(self, key: str) -> None:
        self._entries.clear()


class HasOneSlot(Right):
    """Hands values over through an attribute that all threads share."""

    def get(self, key: str) -> str | None:
        self.asked = key
        time.sleep(0)
        return super().get(self.asked)


class LooksUpForEver(Right):
    def lookup(self, keys: Sequence[str], waiter: Wakes | None = None) -> Task:
        return Task(dict, waiter)


class LooksUpTheUnknown(Right):
    def lookup(self, keys: Sequence[str], waiter: Wakes | None = None) -> Task:
        task = Task(dict, waiter)
        task.finish({key: self.get(key) for key in keys}, None)
        return task


class WakesNobody(Right):
    def lookup(self, keys: Sequence[str], waiter: Wakes | None = None) -> Task:
        return super().lookup(keys)


MUTANTS: dict[str, tuple[Callable[[], Store], ...]] = {
    "keeps_any_text": (GivesBytes, KnowsNoUnicode, TakesEmptyForNothing),
    "takes_any_key": (CutsKeys, FoldsKeys),
    "knows_nothing_of_the_unknown": (RaisesForTheUnknown, EmptyForTheUnknown),
    "replaces_value_and_time": (KeepsTheFirst, KeepsTheFirstTime),
    "forgets_in_time": (ForgetsNothing, TakesSecondsForMilliseconds),
    "deletes": (DeletesNothing, DeletesAll),
    "works_from_many_threads": (HasOneSlot,),
    "answers_a_look_up": (LooksUpForEver, LooksUpTheUnknown, WakesNobody),
}
PAIRS = [(rule, mutant) for rule, mutants in MUTANTS.items() for mutant in mutants]


@pytest.mark.parametrize(("rule", "mutant"), PAIRS, ids=[f"{rule}-{mutant.__name__}" for rule, mutant in PAIRS])
def test_a_rule_catches_who_breaks_it(rule: str, mutant: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnout.testing.stores._PATIENCE", 0.2)
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_all({rule: STORE_RULES[rule]}, Opener(mutant, advance, 3600.0))


def test_every_rule_has_a_mutant_and_what_is_right_breaks_none() -> None:
    assert set(MUTANTS) == set(STORE_RULES)
    check_store(Right, advance=advance, ttl=3600.0)


def test_time_may_be_real() -> None:
    check_store(MemoryStore, ttl=0.2)
