"""What the processes of a fleet tell each other: one thread that exchanges with Redis, a few times a second.

Each exchange says what changed here and reads what changed elsewhere, so it needs no subscription that could break
unnoticed: after a failover, a flush or a restart the next exchange is as good as any. Calls read and write what this
process knows and never wait for an exchange (docs/decisions/one-tick-not-pubsub.md).
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from turnout.cache.health import Health
from turnout.cache.redis_client import RedisClient
from turnout_adapters.forks import in_forked_children

_INTERVAL = 0.3
_LEAST_GAP = 0.005
"""Seconds between exchanges, however often somebody wants one."""
_LATE = 0.1
"""Seconds after which nobody is advised to wait for an exchange."""


class Participant(Protocol):
    """Something that is shared between processes."""

    def exchange(self, client: Any) -> None:
        """A round trip or two with Redis. Runs in the thread; what it raises means that Redis cannot be reached."""
        ...


class SharedState:
    """The thread, started by the first call of a process, and how Redis is doing."""

    def __init__(self, client: RedisClient, *, interval: float = _INTERVAL) -> None:
        self._client = client
        self._interval = interval
        self._participants: list[Participant] = []
        self._on_failure: list[Callable[[BaseException], None]] = []
        self._begin()
        in_forked_children(self._begin)

    def _begin(self) -> None:
        """The state of a new process."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._since: float | None = None
        self._health = Health("shared state", "this process goes on with what it knows")

    @property
    def namespace(self) -> str:
        """What the names of all keys begin with."""
        return self._client.namespace

    @property
    def healthy(self) -> bool:
        """False while Redis cannot be reached, or an answer is late: nobody should wait for it."""
        since = self._since
        return not self._health.down and (since is None or time.monotonic() - since < _LATE)

    def add(
        self, participant: Participant, on_failure: Callable[[BaseException], None] | None = None
    ) -> Callable[[], None]:
        """Lets something take part; returns what asks for an exchange soon.

        `on_failure` is told, in the thread, of every exchange that failed, whether or not this part of it was reached.
        """
        self._participants.append(participant)
        if on_failure is not None:
            self._on_failure.append(on_failure)
        return self.wake

    def wake(self) -> None:
        """Asks for an exchange soon. Costs next to nothing; safe under any lock and from any thread."""
        self._news.set()

    def ensure(self) -> None:
        """Starts the thread if this process has none. For the beginning of every call."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._ended = threading.Event()
                    thread = threading.Thread(
                        target=self._run, args=(self._ended,), name="turnout-shared-state", daemon=True
                    )
                    thread.start()
                    self._thread = thread

    def close(self, timeout: float) -> None:
        """One last exchange, within so many seconds, and the end of the thread. A later call starts it again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._ended.set()
            self._news.set()
        if thread is not None:
            thread.join(timeout)

    def _run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            if self._exchange():
                ended.wait(_LEAST_GAP)
                self._news.wait(self._interval)
            else:
                ended.wait(self._health.next_pause())
            self._news.clear()
        if not self._health.down:
            self._exchange()
        self._client.drop()

    def _exchange(self) -> bool:
        """True if it worked."""
        self._since = time.monotonic()
        try:
            if self._health.down:
                self._client.ping()
            with self._client.dropped_on_failure() as client:
                for participant in self._participants:
                    participant.exchange(client)
        except Exception as error:  # noqa: BLE001 (redis-py raises more than RedisError)
            self._health.failed(error)
            for told in self._on_failure:
                told(error)
            return False
        finally:
            self._since = None
        self._health.worked()
        self._health.settle()
        return True
