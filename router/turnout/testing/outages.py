"""What a store does while its server is away: it says so in time, and is of use again afterwards.

check_turn_store_outage(lambda: MyTurns(URL), outage=server_stopped)
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from secrets import token_hex
from typing import Any

from turnout.protocols import Store, TurnStore
from turnout.testing.rules import in_threads, need

Outage = Callable[[], AbstractContextManager[object]]
"""Makes a context within which the server cannot be reached: killed, paused, cut off."""

_TTL = 600.0
_AGAIN = 0.05


def check_turn_store_outage(make_store: Callable[[], TurnStore], outage: Outage, *, patience: float = 10.0) -> None:
    """Each method of a remote turn store raises while the server is away, and works again when it is back.

    Within `patience` seconds, both. Raises AssertionError if a method hangs, or returns as if nothing were amiss.
    """
    store, key = make_store(), token_hex(20)
    store.write({key: b"x"}, _TTL)
    methods: Mapping[str, Callable[[], Any]] = {
        "read": lambda: store.read([key]),
        "write": lambda: store.write({key: b"y"}, _TTL),
        "touch": lambda: store.touch([key], _TTL),
        "swap": lambda: store.swap(key, b"x", b"z", _TTL),
        "erase": lambda: store.erase([key]),
    }
    with outage():
        for name, method in methods.items():
            need(_fails(name, method, patience), f"{name} returned while the server was away: it must raise")
    _need_again("read", lambda: store.write({key: b"again"}, _TTL) or store.read([key]) == [b"again"], patience)


def check_store_outage(make_store: Callable[[], Store], outage: Outage, *, patience: float = 10.0) -> None:
    """No method of a store of facts hangs while the server is away; it may raise, or do without the server.

    When the server is back, the store keeps facts again within `patience` seconds. Raises AssertionError if not.
    """
    store, key = make_store(), f"turnout.testing {token_hex(16)}"
    store.set(key, "x", _TTL)
    with outage():
        _fails("get", lambda: store.get(key), patience)
        _fails("set", lambda: store.set(key, "y", _TTL), patience)
        _fails("delete", lambda: store.delete(key), patience)
    _need_again("get", lambda: store.set(key, "again", _TTL) or store.get(key) == "again", patience)


def _fails(name: str, method: Callable[[], Any], patience: float) -> bool:
    """Whether it raises. Raises AssertionError if it does neither that nor return."""
    raised: list[Exception] = []

    def work(_number: int) -> None:
        try:
            method()
        except Exception as error:  # noqa: BLE001 (a store may raise anything)
            raised.append(error)

    try:
        in_threads(work, threads=1, patience=patience)
    except AssertionError as error:
        raise AssertionError(f"{name}, while the server is away: {error}") from None
    return bool(raised)


def _need_again(name: str, works: Callable[[], bool], patience: float) -> None:
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        with suppress(Exception):
            if works():
                return
        time.sleep(_AGAIN)
    raise AssertionError(f"{name} does not work within {patience:g} s after the server is back")
