"""What the Router expects of a turn store (`transcripts={"store": ...}`).

    @pytest.mark.parametrize("rule", TURN_STORE_RULES.values(), ids=TURN_STORE_RULES)
    def test_my_turn_store(rule):
        rule(Opener(lambda: MyTurns(URL)))

Every rule takes an `Opener`. Rules use keys of their own: a store need not be empty, and what else it holds stays. They
do not close what they open.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from secrets import token_hex
from types import MappingProxyType

from turnout.protocols import TurnStore
from turnout.testing.rules import THREADS, Rule, check_all, in_threads, need, table
from turnout.testing.stores import Opener
from turnout.testing.turn_store_steps import ends_as_a_dict_does

_MANY = 1000
_LARGE = 8 * 2**20
"""Bytes of the largest value."""
_STEPS = 25
_MOST_TRIES = 100_000


def says_whether_it_is_remote(stores: Opener[TurnStore]) -> None:
    """`remote` is True or False: whether a method may wait for a network or a disk."""
    remote: object = getattr(stores.make(), "remote", None)
    need(
        isinstance(remote, bool), f"remote is {remote!r}; True if a method may wait for a network or a disk, else False"
    )


def reads_in_the_order_of_the_keys(stores: Opener[TurnStore]) -> None:
    """One value for each key, in their order and as often as they are named; None for what is unknown."""
    store, (zero, one, unknown) = stores.make(), _keys(3)
    need(store.read([zero, one]) == [None, None], "unknown keys are not None")
    need(store.read([]) == [], "no keys are not no values")
    store.write({}, stores.ttl)
    store.write(MappingProxyType({one: b"one", zero: b"zero"}), stores.long)
    found = store.read((unknown, zero, one, zero))
    need(found == [None, b"zero", b"one", b"zero"], f"keys none, 0, 1, 0 were read as {found}")
    if store.remote:
        need(stores.make().read([one]) == [b"one"], "another connection does not read what one wrote")


def keeps_any_bytes(stores: Opener[TurnStore]) -> None:
    """Values come back byte for byte: empty ones, zeros, and 8 MiB."""
    store, (empty, large, zero) = stores.make(), _keys(3)
    value = bytes(range(256)) * (_LARGE // 256)
    store.write({empty: b"", large: value, zero: b"\0"}, stores.long)
    need(store.read([empty, large, zero]) == [b"", value, b"\0"], "a value did not come back as it was")
    need(store.swap(large, value, value[1:], stores.long), "a large value could not be swapped")
    need(store.read([empty, large]) == [b"", value[1:]], "a swapped value did not come back as it was")


def takes_a_thousand_keys_at_once(stores: Opener[TurnStore]) -> None:
    """A long conversation is one read; keys may be named twice."""
    store, keys = stores.make(), _keys(_MANY)
    store.write({key: key.encode() for key in keys[::2]}, stores.long)
    expected = [key.encode() if number % 2 == 0 else None for number, key in enumerate(keys)]
    need(store.read(keys) == expected, f"{_MANY} keys were not read in their order")
    need(store.read([*keys, *keys]) == expected * 2, "keys that are named twice were not read twice")
    store.touch([*keys, *keys], stores.long)
    store.erase([*keys, *keys])
    need(store.read(keys) == [None] * _MANY, f"{_MANY} keys were not erased")


def writing_again_replaces_value_and_time(stores: Opener[TurnStore]) -> None:
    """A write replaces what was there, its time to live too, be that longer or shorter."""
    store, (first, other) = stores.make(), _keys(2)
    store.write({first: b"old", other: b"old"}, stores.ttl)
    store.write({first: b"new"}, stores.long)
    stores.outlive()
    found = store.read([first, other])
    need(found[0] == b"new", f"written again with a longer time to live, it is {found[0]!r}")
    need(found[1] is None, "an entry was read after its time to live")
    store.write({first: b"short"}, stores.ttl)
    stores.outlive()
    need(store.read([first]) == [None], "written again with a shorter time to live, it lived on")


def a_touch_gives_time_and_takes_it_and_makes_nothing(stores: Opener[TurnStore]) -> None:
    """`touch` sets the time to live of what is there; unknown and expired keys stay unknown."""
    store, (touched, expired, plain, unknown) = stores.make(), _keys(4)
    store.write(dict.fromkeys([touched, expired, plain], b"x"), stores.ttl)
    store.touch([touched, unknown], stores.long)
    stores.outlive()
    store.touch([expired], stores.long)
    found = store.read([touched, expired, plain, unknown])
    need(found[0] == b"x", "a touched entry expired by its old time to live")
    need(found[1] is None, "a touch brought an expired entry back")
    need(found[2] is None, "an entry was read after its time to live")
    need(found[3] is None, "a touch made an entry")
    store.touch([touched], stores.ttl)
    stores.outlive()
    need(store.read([touched]) == [None], "an entry outlived the shorter time that a touch gave it")


def a_swap_wants_the_value_that_is_there(stores: Opener[TurnStore]) -> None:
    """`swap` writes if the value is `old`, and says so; None is no value, and b"" is one."""
    store, (key,) = stores.make(), _keys(1)

    def swap(old: bytes | None, new: bytes, ttl: float, *, expected: bool, what: str) -> None:
        found: object = store.swap(key, old, new, ttl)
        need(found is expected, f"to swap {old} for {new} {what} returned {found!r}, not {expected}")

    swap(b"", b"1", stores.long, expected=False, what="where there was nothing")
    swap(None, b"", stores.long, expected=True, what="where there was nothing")
    swap(None, b"1", stores.long, expected=False, what="where there was b''")
    swap(b"", b"1", stores.long, expected=True, what="where there was b''")
    swap(b"", b"2", stores.long, expected=False, what="where there was b'1'")
    need(store.read([key]) == [b"1"], "a refused swap changed the value")
    swap(b"1", b"2", stores.ttl, expected=True, what="where there was b'1'")
    stores.outlive()
    swap(b"2", b"3", stores.ttl, expected=False, what="where b'2' had expired")
    swap(None, b"3", stores.long, expected=True, what="where b'2' had expired")
    need(store.read([key]) == [b"3"], "the swapped value is not there")


def what_was_erased_is_gone(stores: Opener[TurnStore]) -> None:
    """`erase` forgets the keys that it names and no other; unknown ones are no error."""
    store, (erased, kept, unknown) = stores.make(), _keys(3)
    store.write(dict.fromkeys([erased, kept], b"x"), stores.long)
    store.erase([erased, unknown])
    store.erase([])
    need(store.read([erased]) == [None], "an erased entry is still there")
    need(store.read([kept]) == [b"x"], "an entry was erased that nobody had named")


def a_closed_store_can_be_used_again(stores: Opener[TurnStore]) -> None:
    """`close` gives connections back, twice too; the next method opens new ones and finds the entries."""
    store, (key,) = stores.make(), _keys(1)
    store.write({key: b"x"}, stores.long)
    store.close()
    store.close()
    need(store.read([key]) == [b"x"], "what was written before close() is not there after it")


def no_swap_is_lost_between_threads(stores: Opener[TurnStore]) -> None:
    """Threads that count by swaps lose no step; a remote store is opened by each of them."""
    shared, (key,) = _for_threads(stores), _keys(1)
    shared[0].write({key: b"0"}, stores.long)

    def work(number: int) -> None:
        store, done = shared[number], 0
        for _ in range(_MOST_TRIES):
            found = store.read([key])[0] or b"0"
            done += store.swap(key, found, str(int(found) + 1).encode(), stores.long)
            if done == _STEPS:
                return
        raise AssertionError(f"of {_MOST_TRIES} swaps of a thread only {done} succeeded")

    in_threads(work)
    found = shared[0].read([key])
    need(found == [str(_STEPS * THREADS).encode()], f"{THREADS} threads made {_STEPS} steps each, together {found}")


def one_thread_of_many_puts_the_first_value(stores: Opener[TurnStore]) -> None:
    """Of threads that swap None for a value at once, one succeeds."""
    shared, keys = _for_threads(stores), _keys(10)
    won: dict[str, list[int]] = {key: [] for key in keys}

    def work(number: int) -> None:
        for key in keys:
            if shared[number].swap(key, None, str(number).encode(), stores.long):
                won[key].append(number)

    in_threads(work)
    for key in keys:
        need(len(won[key]) == 1, f"{len(won[key])} of {THREADS} threads put the first value under one key")
        need(shared[0].read([key]) == [str(won[key][0]).encode()], "the value is not that of the thread that put it")


def any_steps_end_as_in_a_dict(stores: Opener[TurnStore]) -> None:
    """Any sequence of steps leaves what it leaves in a dict whose entries expire."""
    moved = stores.advance is not time.sleep
    for seed in range(20 if moved else 5):
        ends_as_a_dict_does(stores, _keys(5), Random(seed), waits=8 if moved else 0)


TURN_STORE_RULES: Mapping[str, Rule] = table(
    says_whether_it_is_remote,
    reads_in_the_order_of_the_keys,
    keeps_any_bytes,
    takes_a_thousand_keys_at_once,
    writing_again_replaces_value_and_time,
    a_touch_gives_time_and_takes_it_and_makes_nothing,
    a_swap_wants_the_value_that_is_there,
    what_was_erased_is_gone,
    a_closed_store_can_be_used_again,
    no_swap_is_lost_between_threads,
    one_thread_of_many_puts_the_first_value,
    any_steps_end_as_in_a_dict,
)


def check_turn_store(
    make_store: Callable[[], TurnStore], *, advance: Callable[[float], None] = time.sleep, ttl: float = 0.5
) -> None:
    """Checks a turn store against all rules; see `Opener` for the arguments.

    Raises AssertionError that names each rule it breaks. Takes about ten seconds where time is real.
    """
    check_all(TURN_STORE_RULES, Opener(make_store, advance, ttl))


def _for_threads(stores: Opener[TurnStore]) -> Sequence[TurnStore]:
    """A store for each thread: a remote one is called from one thread at a time, any other from all."""
    first = stores.make()
    return [first, *(stores.make() if first.remote else first for _ in range(THREADS - 1))]


def _keys(number: int) -> list[str]:
    """Keys that nobody else uses, in the form that the Router gives them."""
    return [token_hex(20) for _ in range(number)]
