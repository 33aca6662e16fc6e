"""What the Router expects of a store of facts (`Router(store=...)`).

    @pytest.mark.parametrize("rule", STORE_RULES.values(), ids=STORE_RULES)
    def test_my_store(rule):
        rule(Opener(MyStore))

Every rule takes an `Opener`. Rules use keys of their own: a store need not be empty, and what else it holds stays.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import uuid4

from turnout.protocols import Askable, Store
from turnout.testing.rules import THREADS, Rule, check_all, in_threads, need, table

S = TypeVar("S")

LONG = 1000
"""A time to live in units of `ttl` that does not end within a rule."""
_PATIENCE = 10.0
"""Seconds in which shared facts are to be known."""


@dataclass(frozen=True)
class Opener(Generic[S]):
    """How a rule gets at a store, and how it lets time pass there.

    `make` opens the store. One that several processes share has connections of its own to the same entries each time;
    one of a single process may be empty each time. `advance(seconds)` lets time pass; `ttl` is a time to live in
    seconds that a rule can wait for: half a second of real time, unless the store has a clock that `advance` moves.
    """

    make: Callable[[], S]
    advance: Callable[[float], None] = time.sleep
    ttl: float = 0.5

    @property
    def long(self) -> float:
        """A time to live that does not end within a rule."""
        return self.ttl * LONG

    def outlive(self) -> None:
        """Lets what lives for `ttl` seconds expire."""
        self.advance(self.ttl * 1.5)


def keeps_any_text(stores: Opener[Store]) -> None:
    """What was set comes back as it was, as `str`: empty, long, in any script."""
    store, key = stores.make(), _name()
    for value in ("a deployment", "", " \n\0", "Grüße, 東京 ✓ \U0001f6e4", "x" * 10_000, '{"json": null}'):
        store.set(key, value, stores.long)
        found: object = store.get(key)
        need(found == value, f"{value[:40]!r} came back as {str(found)[:40]!r} ({type(found).__name__})")


def takes_any_key(stores: Opener[Store]) -> None:
    """Keys hold tenants' names and providers' ids: spaces, colons, any script, and long ones. None is another's."""
    store, prefix = stores.make(), _name()
    ends = ("", " ", ":", "a:b", "A", "a", "ß", "ss", "東京", "*", "{x}", "/../x", "k" * 1000, f"{'k' * 1000}2")
    keys = [prefix + end for end in ends]
    for number, key in enumerate(keys):
        store.set(key, str(number), stores.long)
    mixed = [key[len(prefix) :][:20] for number, key in enumerate(keys) if store.get(key) != str(number)]
    need(not mixed, f"keys that end in these do not bring back their own values: {mixed}")


def knows_nothing_of_the_unknown(stores: Opener[Store]) -> None:
    """None for a key that was never set; deleting it is no error."""
    store, key = stores.make(), _name()
    need(store.get(key) is None, f"an unknown key is {store.get(key)!r}, not None")
    store.delete(key)
    need(store.get(key) is None, "deleting an unknown key made it known")


def replaces_value_and_time(stores: Opener[Store]) -> None:
    """Setting a key again replaces its value and its time to live, whether that becomes longer or shorter."""
    store, longer, shorter = stores.make(), _name(), _name()
    store.set(longer, "old", stores.ttl)
    store.set(shorter, "old", stores.long)
    store.set(longer, "new", stores.long)
    store.set(shorter, "new", stores.ttl)
    need(store.get(longer) == "new", "the old value came back")
    stores.outlive()
    need(store.get(longer) == "new", "it expired by the time to live that was replaced")
    need(store.get(shorter) is None, "it outlived its new time to live")


def forgets_in_time(stores: Opener[Store]) -> None:
    """Nothing is returned after its time to live; what lives longer is still there."""
    store, short, long = stores.make(), _name(), _name()
    store.set(short, "x", stores.ttl)
    store.set(long, "x", stores.long)
    stores.outlive()
    need(store.get(short) is None, f"a value was returned after its {stores.ttl:g} s to live")
    need(store.get(long) == "x", "a value was gone long before its time")


def deletes(stores: Opener[Store]) -> None:
    """A deleted key is unknown, and can be set again."""
    store, key, other = stores.make(), _name(), _name()
    store.set(key, "x", stores.long)
    store.set(other, "y", stores.long)
    store.delete(key)
    need((store.get(key), store.get(other)) == (None, "y"), "delete forgets the key that it names and no other")
    store.set(key, "again", stores.long)
    need(store.get(key) == "again", "a deleted key cannot be set again")


def works_from_many_threads(stores: Opener[Store]) -> None:
    """All threads of a process use one store at the same time."""
    store, shared = stores.make(), _name()
    mine = [_name() for _ in range(THREADS)]

    def work(number: int) -> None:
        for step in range(100):
            store.set(mine[number], str(step), stores.long)
            store.set(shared, f"{number} {step}", stores.long)
            need(store.get(mine[number]) == str(step), "a thread did not read what it had written")
            found = store.get(shared)
            need(found is not None and len(found.split()) == 2, f"a value that nobody wrote was read: {found!r}")
            store.delete(mine[number])

    in_threads(work)


def answers_a_look_up(stores: Opener[Store]) -> None:
    """For stores with `lookup`: the job brings what is known of the keys, wakes its waiter once, and `get` knows."""
    store = stores.make()
    if not isinstance(store, Askable):
        return
    known, unknown, waiter = _name(), _name(), _Waiter()
    store.set(known, "x", stores.long)
    job: Any = store.lookup([known, unknown], waiter)
    give_up = time.monotonic() + _PATIENCE
    while not (job.done and waiter.woken) and time.monotonic() < give_up:
        time.sleep(0.01)
    need(job.done, f"a look-up was not answered within {_PATIENCE:g} s")
    need(job.error is None, f"a look-up failed: {job.error!r}")
    need(dict(job.value) == {known: "x"}, f"a look-up of a known and an unknown key brought {job.value!r}")
    need(waiter.woken == 1, f"the waiter was woken {waiter.woken} times, not once")
    need(store.get(known) == "x", "what was looked up is not known to get()")


STORE_RULES: Mapping[str, Rule] = table(
    keeps_any_text,
    takes_any_key,
    knows_nothing_of_the_unknown,
    replaces_value_and_time,
    forgets_in_time,
    deletes,
    works_from_many_threads,
    answers_a_look_up,
)


def check_store(
    make_store: Callable[[], Store], *, advance: Callable[[float], None] = time.sleep, ttl: float = 0.5
) -> None:
    """Checks a store of facts against all rules; see `Opener` for the arguments.

    Raises AssertionError that names each rule it breaks. Takes about two seconds where time is real.
    """
    check_all(STORE_RULES, Opener(make_store, advance, ttl))


class _Waiter:
    """Counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def _name() -> str:
    """A key that nobody else uses."""
    return f"turnout.testing {uuid4().hex}"
