"""Threads that do the blocking work of one remote store, so that no call ever blocks on it.

While the store cannot be reached nothing is queued: work fails at once, a thread probes with growing pauses, and when a
probe succeeds work is taken again. A store that hangs is noticed by whoever hands over work next, so a hang costs no
thread and no timer: what has been running for too long is given up, and its thread is free when its socket times out.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from turnout.cache.health import Health
from turnout.protocols import Wakes
from turnout_adapters.forks import in_forked_children

_SMOOTHING = 0.1
_LATE = 10.0
"""Work that takes so many times as long as is typical is late: nobody should wait for the store ..."""
_LEAST_LATE = 0.01
"""... but not before so many seconds. Both come long before the store is held to be down."""
_NO_ANSWER = TimeoutError("the store does not answer")


class Task:
    """One piece of work: `done`, then `value` or `error`."""

    __slots__ = ("_waiter", "_work", "done", "error", "started", "value")

    def __init__(self, work: Callable[[], Any], waiter: Wakes | None) -> None:
        self.done = False
        self.error: BaseException | None = None
        self.value: Any = None
        self.started = 0.0
        self._work = work
        self._waiter = waiter

    def run(self) -> tuple[Any, BaseException | None]:
        """Does the work: its value, or its error."""
        try:
            return self._work(), None
        except Exception as error:  # noqa: BLE001 (a store may raise anything)
            return None, error

    def finish(self, value: Any, error: BaseException | None) -> None:
        """Sets the outcome and wakes the waiter. Called once, and not under a lock."""
        self.value, self.error, self.done = value, error, True
        if self._waiter is not None:
            self._waiter.wake()


class Background:
    """Runs work in `threads` daemon threads, started at the first use.

    `name` is the store's in the log, `ping` a piece of work that fails as long as the store is of no use (a write,
    where a store may refuse writes only). At most `queue` pieces wait. What runs for more than `patience` seconds is
    given up, and the store is held to be down until a ping succeeds. A forked child has threads of its own.
    """

    def __init__(
        self, name: str, ping: Callable[[], Any], *, threads: int = 1, queue: int = 1000, patience: float = 0.5
    ) -> None:
        self._name = name
        self._ping = ping
        self._size = threads
        self._room = queue
        self._patience = patience
        self._typical = 0.0
        self._begin()
        in_forked_children(self._begin)

    def _begin(self) -> None:
        """The state of a new process: no thread and no work of a parent's is here, and its lock may be held."""
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []
        self._threads: list[threading.Thread] = []
        self._generation = 0
        self._probing = False
        self._back_at = 0.0
        self._health = Health(self._name, "calls go on without it")

    @property
    def healthy(self) -> bool:
        """False while the store cannot be reached, or an answer is late: nobody should wait for it."""
        return not self._health.down and self._longest() < max(_LATE * self._typical, _LEAST_LATE)

    @property
    def typical(self) -> float:
        """Seconds that work takes lately; 0.0 before the first."""
        return self._typical

    def submit(self, work: Callable[[], Any], waiter: Wakes | None = None) -> Task:
        """Hands work over and returns at once. Without a usable store, or with a full queue, it has failed already."""
        task = Task(work, waiter)
        late = list[Task]()
        problem: Exception | None = None
        with self._changed:
            if self._longest() > self._patience:
                late = self._take_running() + self._down(_NO_ANSWER)
            if self._health.down:
                problem = ConnectionError("the store cannot be reached")
            elif len(self._waiting) >= self._room:
                problem = BlockingIOError("too much work is waiting for the store")
            else:
                self._waiting.append(task)
            self._start_threads()
            self._changed.notify_all()
        _fail(late, _NO_ANSWER)
        if problem is not None:
            task.finish(None, problem)
        return task

    def close(self, timeout: float) -> None:
        """Lets what was handed over finish for so many seconds, and ends the threads. New work starts new ones."""
        until = time.monotonic() + timeout
        with self._changed:
            while (self._waiting or self._running) and not self._health.down and time.monotonic() < until:
                self._changed.wait(until - time.monotonic())
            left = self._take_running() + self._take_waiting()
            self._generation += 1
            threads, self._threads, self._probing = self._threads, [], False
            self._changed.notify_all()
        _fail(left, ConnectionError("the Router was closed"))
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    # --- under the lock; who takes a task out of a list finishes it, once, after the lock

    def _longest(self) -> float:
        """Seconds that the oldest of the running work has taken so far. Without the lock, it may miss the newest."""
        now = time.monotonic()
        return max((now - task.started for task in tuple(self._running)), default=0.0)

    def _down(self, error: BaseException) -> list[Task]:
        """The store is of no use; returns the waiting work, which has to fail."""
        self._health.failed(error)
        return self._take_waiting()

    def _take_waiting(self) -> list[Task]:
        tasks = list(self._waiting)
        self._waiting.clear()
        return tasks

    def _take_running(self) -> list[Task]:
        tasks, self._running = self._running, []
        return tasks

    def _start_threads(self) -> None:
        while len(self._threads) < self._size:
            thread = threading.Thread(
                target=self._serve, args=(self._generation,), name=f"turnout-{self._name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    # --- in the threads

    def _serve(self, generation: int) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._may_probe() and generation == self._generation:
                    self._changed.wait()
                if generation != self._generation:
                    return
                task = self._waiting.popleft() if self._waiting else None
                if task is None:
                    self._probing = True
                else:
                    task.started = time.monotonic()
                    self._running.append(task)
            if task is None:
                self._probe(generation)
            else:
                self._run(task)

    def _may_probe(self) -> bool:
        return self._health.down and not self._probing

    def _run(self, task: Task) -> None:
        value, error = task.run()
        seconds = time.monotonic() - task.started
        dropped = list[Task]()
        with self._changed:
            in_time = task in self._running
            if in_time:
                self._running.remove(task)
            if error is not None and task.started >= self._back_at:
                dropped = self._down(error)
            elif error is None and in_time:
                self._typical += (seconds - self._typical) * (_SMOOTHING if self._typical else 1.0)
                self._health.settle()
            self._changed.notify_all()
        if in_time:
            task.finish(value, error)
        if error is not None:
            _fail(dropped, error)

    def _probe(self, generation: int) -> None:
        """Pings with growing pauses until the store answers, or the threads are to end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: generation != self._generation, self._health.next_pause())
                if generation != self._generation:
                    return
            _, error = Task(self._ping, None).run()
            with self._changed:
                if generation != self._generation:
                    return
                if error is None:
                    self._back_at = time.monotonic()
                    self._probing = False
                    self._health.worked()
                    return


def _fail(tasks: list[Task], error: BaseException) -> None:
    for task in tasks:
        task.finish(None, error)
