"""What a fork and the garbage collector may meet at any moment: locks, and owners of threads and connections.

A forked child has one thread. A lock that another one held stays locked there for ever, a connection that two processes
use answers either of them, and a generator that both have draws the same numbers twice. So locks are taken before a
fork, which leaves what they guard whole, and are new in the child; owners of anything else are told in the child.

The garbage collector runs finalizers, and the `finally` of generators that nobody will finish, in the middle of any
line of any thread, also of one that holds a lock. Who may be called from there asks a `Guard` first whether it is
`held` by this very thread.
"""

import os
import weakref
from collections.abc import Callable
from functools import cache
from itertools import count
from threading import RLock
from typing import Any, Protocol, cast

from turnout_adapters.errors import TurnoutError

_PATIENCE = 1.0
"""Seconds that a fork waits for each lock; who holds one that long is stuck, and the fork goes on without."""
_IMPORT = 10.0
"""The same for a library that is being imported."""


class _Lock(Protocol):
    """What an RLock has; `_is_owned` is what threading.Condition asks of any lock that is given to it."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def _is_owned(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *what: object) -> None: ...


class Guard:
    """A lock that is whole and free in every forked child, and says whether this very thread holds it.

    Use it as `with guard():`. It is not for nesting: entered again by its holder, which only a finalizer of somebody's
    or a generator's `finally` can do, it raises TurnoutError instead of waiting for ever.
    """

    __slots__ = ("__weakref__", "_lock", "_patience", "_taken")

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._lock = cast("_Lock", RLock())
        self._taken = False
        _hooks()
        _GUARDS[next(_NUMBERS)] = self

    def __call__(self) -> _Lock:
        """The lock, for a `with` statement: nothing may come between taking it and being sure to give it back."""
        if self.held:
            raise TurnoutError(
                "called from a finalizer in the middle of another call of this thread; do not call a Router there"
            )
        return self._lock

    @property
    def held(self) -> bool:
        """True if this thread holds it: then this is a finalizer, and nothing may be changed now."""
        return self._lock._is_owned()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] (what Condition asks of one)

    def before_fork(self) -> None:
        """Takes the lock, so that what it guards is not in the middle of a change."""
        self._taken = not self.held and self._lock.acquire(timeout=self._patience)

    def in_parent(self) -> None:
        """Gives it back."""
        if self._taken:
            self._taken = False
            self._lock.release()

    def in_child(self) -> None:
        """A new lock: the thread that held the old one may not be here."""
        self._lock, self._taken = cast("_Lock", RLock()), False


_NUMBERS = count()
_GUARDS: "weakref.WeakValueDictionary[int, Guard]" = weakref.WeakValueDictionary()
_OWNERS: "dict[int, weakref.WeakMethod[Callable[[], None]]]" = {}
"""Both in the order in which they were made: who holds one lock while it takes another made the first one first. A fork
is an event of the whole process, so its list is too; it keeps nobody alive, and nothing of who is gone."""


def in_forked_children(method: Callable[[], None]) -> None:
    """Calls a bound method in every child that this process forks, for as long as its object lives."""
    _hooks()
    number = next(_NUMBERS)

    def forget(_reference: Any) -> None:
        _OWNERS.pop(number, None)

    _OWNERS[number] = weakref.WeakMethod(method, forget)


def importing() -> _Lock:
    """For `with` around an import that may come late, in the middle of calls.

    Python gives no child the lock of a module that another thread was importing: whoever imports it there waits for
    ever. So a fork waits until the import is done.
    """
    return _imports()()


@cache
def _imports() -> Guard:
    return Guard(_IMPORT)


@cache
def _hooks() -> None:
    """Once for each process: what is registered with it cannot be taken back."""
    if hasattr(os, "register_at_fork"):  # there is no fork on Windows
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def _guards() -> list[Guard]:
    found = [reference() for reference in _GUARDS.valuerefs()]
    return [one for one in found if one is not None]


def _before() -> None:
    for guard in _guards():
        guard.before_fork()


def _in_parent() -> None:
    for guard in reversed(_guards()):
        guard.in_parent()


def _in_child() -> None:
    for guard in _guards():
        guard.in_child()
    for reference in list(_OWNERS.values()):
        tell = reference()
        if tell is not None:
            tell()
