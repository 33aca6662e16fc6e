"""What every turn store promises, shown on each of them; the databases are real ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.router.cache.stores import ALL, Opened, opened

KEYS = [f"{number:040x}" for number in range(1000)]


@pytest.fixture(params=ALL)
def turns(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with opened(request.param, tmp_path, request) as found:
        yield found


def test_values_come_in_the_order_of_the_keys_and_none_for_the_unknown(turns: Opened) -> None:
    store = turns.store
    assert store.read(KEYS[:2]) == [None, None]
    assert store.read([]) == []
    store.write({}, turns.hour)
    store.write({KEYS[1]: b"one", KEYS[0]: b"zero"}, turns.hour * 1000)
    assert store.read([KEYS[2], KEYS[0], KEYS[1], KEYS[0]]) == [None, b"zero", b"one", b"zero"]
    assert turns.another().read([KEYS[1]]) == [b"one"]


def test_any_bytes_of_any_length_are_kept(turns: Opened) -> None:
    large = bytes(range(256)) * (8 * 2**20 // 256)
    turns.store.write({KEYS[0]: b"", KEYS[1]: large, KEYS[2]: b"\0"}, turns.hour * 1000)
    assert turns.store.read(KEYS[:3]) == [b"", large, b"\0"]
    assert turns.store.swap(KEYS[1], large, large[1:], turns.hour * 1000)
    assert turns.store.read(KEYS[:2]) == [b"", large[1:]]


def test_a_thousand_keys_at_once(turns: Opened) -> None:
    turns.store.write({key: key.encode() for key in KEYS[::2]}, turns.hour * 1000)
    expected = [key.encode() if index % 2 == 0 else None for index, key in enumerate(KEYS)]
    assert turns.store.read(KEYS) == expected
    assert turns.store.read([*KEYS, *KEYS]) == expected * 2
    turns.store.touch([*KEYS, *KEYS], turns.hour * 1000)
    turns.store.erase([*KEYS, *KEYS])
    assert turns.store.read(KEYS) == [None] * len(KEYS)


def test_writing_again_replaces_value_and_time(turns: Opened) -> None:
    turns.store.write({KEYS[0]: b"old", KEYS[1]: b"old"}, turns.hour)
    turns.store.write({KEYS[0]: b"new"}, turns.hour * 1000)
    turns.advance(turns.hour * 1.5)
    assert turns.store.read(KEYS[:2]) == [b"new", None]
    turns.store.write({KEYS[0]: b"short"}, turns.hour)
    turns.advance(turns.hour * 1.5)
    assert turns.store.read(KEYS[:1]) == [None]


def test_a_touch_gives_time_and_takes_it_and_makes_nothing(turns: Opened) -> None:
    turns.store.write(dict.fromkeys(KEYS[:3], b"x"), turns.hour)
    turns.store.touch([KEYS[0], KEYS[3]], turns.hour * 1000)
    turns.advance(turns.hour * 1.5)
    turns.store.touch([KEYS[1]], turns.hour * 1000)
    assert turns.store.read(KEYS[:4]) == [b"x", None, None, None]
    turns.store.touch([KEYS[0]], turns.hour)
    turns.advance(turns.hour * 1.5)
    assert turns.store.read(KEYS[:1]) == [None]


def test_a_swap_wants_the_value_that_is_there(turns: Opened) -> None:
    store = turns.store
    assert not store.swap(KEYS[0], b"", b"1", turns.hour * 1000)
    assert store.swap(KEYS[0], None, b"", turns.hour * 1000)
    assert not store.swap(KEYS[0], None, b"1", turns.hour * 1000)
    assert store.swap(KEYS[0], b"", b"1", turns.hour * 1000)
    assert not store.swap(KEYS[0], b"", b"2", turns.hour * 1000)
    assert store.read([KEYS[0]]) == [b"1"]
    assert store.swap(KEYS[0], b"1", b"2", turns.hour)
    turns.advance(turns.hour * 1.5)
    assert not store.swap(KEYS[0], b"2", b"3", turns.hour), "it has expired"
    assert store.swap(KEYS[0], None, b"3", turns.hour * 1000)
    assert store.read([KEYS[0]]) == [b"3"]


def test_what_was_erased_is_gone(turns: Opened) -> None:
    turns.store.write(dict.fromkeys(KEYS[:2], b"x"), turns.hour * 1000)
    turns.store.erase([KEYS[0], KEYS[2]])
    turns.store.erase([])
    assert turns.store.read(KEYS[:3]) == [None, b"x", None]


def test_a_closed_store_can_be_used_again(turns: Opened) -> None:
    turns.store.write({KEYS[0]: b"x"}, turns.hour * 1000)
    turns.store.close()
    turns.store.close()
    assert turns.store.read(KEYS[:1]) == [b"x"]


def test_eight_threads_swap_one_value_and_no_step_is_lost(turns: Opened) -> None:
    stores = [turns.another() for _ in range(8)]
    turns.store.write({KEYS[0]: b"0"}, turns.hour * 10_000)

    def count(store: object, steps: int = 25) -> None:
        done = 0
        for _ in range(100_000):
            found = store.read([KEYS[0]])[0]
            done += store.swap(KEYS[0], found, str(int(found) + 1).encode(), turns.hour * 10_000)
            if done == steps:
                return
        raise AssertionError("the swaps did not succeed")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, stores))
    assert turns.store.read([KEYS[0]]) == [b"200"]


def test_of_eight_threads_one_puts_a_value_where_there_is_none(turns: Opened) -> None:
    stores = [turns.another() for _ in range(8)]
    for key in KEYS[:10]:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda store, key=key: store.swap(key, None, b"x", turns.hour * 1000), stores))
        assert won.count(True) == 1
