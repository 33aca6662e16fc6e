"""Small facts that all processes of a fleet know after a moment."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from turnout.cache.background import Task
from turnout.cache.memory import MemoryStore
from turnout.cache.shared import SharedState
from turnout.protocols import Wakes
from turnout_adapters.forks import Guard

_MOST_CHANGES = 10_000
_MOST_QUESTIONS = 1_000
_AT_ONCE = 1_000
"""Changes written in one exchange."""


class SharedFacts:
    """A Store that answers from memory, and carries what is set or deleted to Redis behind the caller's back.

    A key that this process does not know is None, and is fetched in the background: the next `get` knows it. Who needs
    to know now asks `lookup`. At most 10,000 changes wait while Redis is away; the oldest are given up first. Keys go
    to Redis as hashes, since they hold tenants' names and providers' ids.
    """

    def __init__(self, near: MemoryStore, state: SharedState, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._near = near
        self._state = state
        self._timer = timer
        self._lock = Guard()
        self._changes: dict[str, tuple[str, float] | None] = {}
        """By key: value and time of expiry, None if deleted. Not written yet; oldest first."""
        self._questions: dict[str, None] = {}
        self._lookups: list[tuple[Task, Sequence[str]]] = []
        self._wake = state.add(self, self._give_up)

    def get(self, key: str) -> str | None:
        """The value if this process knows it; if not it is fetched for the next time."""
        value = self._near.get(key)
        if value is None:
            with self._lock():
                if len(self._questions) < _MOST_QUESTIONS:
                    self._questions[key] = None
        return value

    def set(self, key: str, value: str, ttl: float) -> None:
        """Keeps the value, here at once and for the others soon."""
        self._near.set(key, value, ttl)
        self._change(key, (value, self._timer() + ttl))

    def delete(self, key: str) -> None:
        """Forgets the key, here at once and in Redis soon."""
        self._near.delete(key)
        self._change(key, None)

    def lookup(self, keys: Sequence[str], waiter: Wakes | None = None) -> Task:
        """Asks Redis soon: the task's `value` becomes a mapping of those keys that it knows to their values.

        The waiter is to bound its wait. Fails at once while Redis cannot be reached, or too many are asking.
        """
        task = Task(dict[str, str], waiter)
        with self._lock():
            room = self._state.healthy and len(self._lookups) < _MOST_QUESTIONS
            if room:
                self._lookups.append((task, keys))
        if room:
            self._wake()
        else:
            task.finish(None, ConnectionError("the shared facts cannot be reached"))
        return task

    def exchange(self, client: Any) -> None:
        """Writes what changed here and reads what was asked for: one round trip, none if there is nothing."""
        with self._lock():
            names = list(self._changes)[:_AT_ONCE]
            changes = {name: self._changes.pop(name) for name in names}
            questions, self._questions = self._questions, {}
            lookups, self._lookups = self._lookups, []
            if self._changes:
                self._wake()
        asked = list(questions | {key: None for _, keys in lookups for key in keys})
        if not changes and not asked:
            return
        try:
            found = self._round_trip(client, changes, asked)
        except BaseException:
            with self._lock():
                self._changes = {**changes, **self._changes}
                self._trim()
                self._lookups += lookups
            raise
        for task, keys in lookups:
            task.finish({key: found[key] for key in keys if key in found}, None)

    def _give_up(self, error: BaseException) -> None:
        """An exchange failed: nobody is to wait for an answer."""
        with self._lock():
            lookups, self._lookups = self._lookups, []
        for task, _ in lookups:
            task.finish(None, error)

    def _round_trip(
        self, client: Any, changes: dict[str, tuple[str, float] | None], asked: Sequence[str]
    ) -> dict[str, str]:
        now = self._timer()
        with client.pipeline(transaction=False) as pipe:
            for key, change in changes.items():
                left = 0 if change is None else round((change[1] - now) * 1000)
                if change is None or left <= 0:
                    pipe.delete(self._named(key))
                else:
                    pipe.set(self._named(key), change[0], px=left)
            for key in asked:
                pipe.get(self._named(key))
                pipe.pttl(self._named(key))
            answers = pipe.execute()[len(changes) :]
        found: dict[str, str] = {}
        for key, value, left in zip(asked, answers[::2], answers[1::2], strict=True):
            if value is not None and key not in self._changes:
                found[key] = value.decode()
                self._near.set(key, found[key], left / 1000)
        return found

    def _change(self, key: str, change: tuple[str, float] | None) -> None:
        with self._lock():
            self._changes.pop(key, None)
            self._changes[key] = change
            self._trim()

    def _trim(self) -> None:
        while len(self._changes) > _MOST_CHANGES:
            del self._changes[next(iter(self._changes))]

    def _named(self, key: str) -> str:
        return f"{self._state.namespace}:fact:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
