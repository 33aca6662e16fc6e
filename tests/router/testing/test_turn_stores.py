"""Each rule for turn stores catches a store that breaks it. Ours: `tests/router/cache/test_turn_stores.py`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from turnout.cache.memory_turns import MemoryTurns
from turnout.protocols import TurnStore
from turnout.testing import TURN_STORE_RULES, Opener, check_turn_store
from turnout.testing.rules import check_all

_now = [0.0]


def advance(seconds: float) -> None:
    _now[0] += seconds


class Right(MemoryTurns):
    """On the tests' clock."""

    def __init__(self) -> None:
        super().__init__(timer=lambda: _now[0])


class DoesNotSay(Right):
    remote: Any = None


class SaysRemoteAndSharesNothing(Right):
    remote = True


class ReadsWhatItHas(Right):
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return [value for value in super().read(keys) if value is not None]


class ReadsEachKeyOnce(Right):
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return super().read(list(dict.fromkeys(keys)))


class WantsAList(Right):
    def read(self, keys: Any) -> list[bytes | None]:
        return super().read(keys + [])  # noqa: RUF005 (that is what is wrong)


class KeepsText(Right):
    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        super().write({key: value.decode(errors="replace").encode() for key, value in entries.items()}, ttl)


class TakesEmptyForNothing(Right):
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        return [value or None for value in super().read(keys)]


class HasRoomForAMegabyte(Right):
    def __init__(self) -> None:
        MemoryTurns.__init__(self, 2**20, timer=lambda: _now[0])


class TakesAHundred(Right):
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        if len(keys) > 100:
            raise ValueError("too many keys")
        return super().read(keys)


class KeepsTheLongerTime(Right):
    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        known = [key for key in entries if super(KeepsTheLongerTime, self).read([key]) != [None]]
        super().write(entries, max(ttl, 1e6) if known else ttl)


class KeepsTheFirst(Right):
    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        for key, value in entries.items():
            self.swap(key, None, value, ttl)


class TouchesNothing(Right):
    def touch(self, keys: Sequence[str], ttl: float) -> None:
        pass


class TouchesUpwards(Right):
    def touch(self, keys: Sequence[str], ttl: float) -> None:
        super().touch(keys, max(ttl, 1e6))


class TouchMakes(Right):
    def touch(self, keys: Sequence[str], ttl: float) -> None:
        found = self.read(keys)
        self.write({key: value or b"" for key, value in zip(keys, found, strict=True)}, ttl)


class SwapsAlways(Right):
    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        self.write({key: new}, ttl)
        return True


class SwapsEmptyForNothing(Right):
    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        return (
            super().swap(key, old or None, new, ttl) if self.read([key]) == [None] else super().swap(key, old, new, ttl)
        )


class SwapsSilently(Right):
    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> Any:
        super().swap(key, old, new, ttl)


class ErasesNothing(Right):
    def erase(self, keys: Sequence[str]) -> None:
        pass


class ErasesAll(Right):
    def erase(self, keys: Sequence[str]) -> None:
        for key in list(self._entries):
            super().erase([key])


class ClosesForEver(Right):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class ForgetsWhenClosed(Right):
    def close(self) -> None:
        self._begin()


class SwapsInTwoSteps(Right):
    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        if self.read([key])[0] != old:
            return False
        time.sleep(0.0001)
        self.write({key: new}, ttl)
        return True


class ForgetsTimeOfSwaps(Right):
    """A swap keeps the time to live that was there."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, float] = {}

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        self.ends |= dict.fromkeys(entries, _now[0] + ttl)
        super().write(entries, ttl)

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        self.ends |= dict.fromkeys(keys, _now[0] + ttl)
        super().touch(keys, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        left = self.ends.get(key, 0.0) - _now[0]
        return super().swap(key, old, new, ttl if old is None or left <= 0 else left)


MUTANTS: dict[str, tuple[Callable[[], TurnStore], ...]] = {
    "says_whether_it_is_remote": (DoesNotSay,),
    "reads_in_the_order_of_the_keys": (ReadsWhatItHas, ReadsEachKeyOnce, WantsAList, SaysRemoteAndSharesNothing),
    "keeps_any_bytes": (KeepsText, TakesEmptyForNothing, HasRoomForAMegabyte),
    "takes_a_thousand_keys_at_once": (TakesAHundred,),
    "writing_again_replaces_value_and_time": (KeepsTheLongerTime, KeepsTheFirst),
    "a_touch_gives_time_and_takes_it_and_makes_nothing": (TouchesNothing, TouchesUpwards, TouchMakes),
    "a_swap_wants_the_value_that_is_there": (SwapsAlways, SwapsEmptyForNothing, SwapsSilently),
    "what_was_erased_is_gone": (ErasesNothing, ErasesAll),
    "a_closed_store_can_be_used_again": (ClosesForEver, ForgetsWhenClosed),
    "no_swap_is_lost_between_threads": (SwapsInTwoSteps,),
    "one_thread_of_many_puts_the_first_value": (SwapsInTwoSteps,),
    "any_steps_end_as_in_a_dict": (KeepsTheFirst, TouchesUpwards, TouchMakes, ForgetsTimeOfSwaps, ErasesNothing),
}
PAIRS = [(rule, mutant) for rule, mutants in MUTANTS.items() for mutant in mutants]


@pytest.mark.parametrize(("rule", "mutant"), PAIRS, ids=[f"{rule}-{mutant.__name__}" for rule, mutant in PAIRS])
def test_a_rule_catches_who_breaks_it(rule: str, mutant: Callable[[], TurnStore]) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_all({rule: TURN_STORE_RULES[rule]}, Opener(mutant, advance, 3600.0))


def test_every_rule_has_a_mutant_and_what_is_right_breaks_none() -> None:
    assert set(MUTANTS) == set(TURN_STORE_RULES)
    check_turn_store(Right, advance=advance, ttl=3600.0)


def test_time_may_be_real() -> None:
    check_turn_store(MemoryTurns, ttl=0.25)


def test_a_failure_shows_the_last_steps() -> None:
    with pytest.raises(AssertionError, match=r"k\d.* read wrongly after: .*write k\d"):
        TURN_STORE_RULES["any_steps_end_as_in_a_dict"](Opener(KeepsTheFirst, advance, 3600.0))
