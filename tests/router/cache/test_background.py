"""Work for a remote store: done in order, failed at once while the store is down, taken again when it is back."""

import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.valkey import eventually
from turnout.cache.background import Background


class Waiter:
    def __init__(self) -> None:
        self.woken = 0
        self.event = threading.Event()

    def wake(self) -> None:
        self.woken += 1
        self.event.set()


class FakeStore:
    """Fails, or hangs, as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1
        self.work("ping")

    def work(self, value: object) -> object:
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return value


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def background(store: FakeStore) -> Iterator[Background]:
    running = Background("turns", store.ping, queue=3, patience=0.1)
    yield running
    store.gate.set()
    running.close(1)


def done(background: Background, work: object) -> object:
    waiter = Waiter()
    task = background.submit(work, waiter)
    assert waiter.event.wait(10)
    assert task.done
    assert waiter.woken == 1
    if task.error is not None:
        raise task.error
    return task.value


def test_work_is_done_in_order_and_timed(background: Background) -> None:
    seen: list[int] = []
    assert background.typical == 0
    for number in range(2):
        background.submit(lambda number=number: seen.append(number))
    assert done(background, lambda: "last") == "last"
    assert seen == [0, 1]
    assert 0 < background.typical < 1


def test_a_failure_fails_what_waits_and_recovery_needs_nobody(
    background: Background, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "turnout")
    store.gate.clear()
    first, second = background.submit(lambda: store.work(1)), background.submit(lambda: store.work(2))
    store.error = ConnectionError("redis://user:password@host refused")
    store.gate.set()
    eventually(lambda: second.done, "waiting work that failed")
    assert isinstance(first.error, ConnectionError)
    assert isinstance(second.error, ConnectionError)
    assert not background.healthy
    with pytest.raises(ConnectionError):
        done(background, lambda: store.work(3))
    eventually(lambda: store.pings >= 2, "probes")
    store.error = None
    eventually(lambda: background.healthy, "a recovery")
    assert done(background, lambda: store.work(4)) == 4
    lines = [record.message for record in caplog.records]
    assert lines == [
        "turns: the store cannot be reached (ConnectionError); calls go on without it",
        "turns: the store is back",
    ]


def test_work_that_hangs_is_given_up(background: Background, store: FakeStore) -> None:
    store.gate.clear()
    stuck, behind = background.submit(lambda: store.work(1)), background.submit(lambda: store.work(2))
    eventually(lambda: not background.healthy, "a late answer noticed")
    assert not stuck.done, "nobody is to wait for it, but it may still come"
    time.sleep(0.1)
    late = background.submit(lambda: store.work(3))
    for task in (stuck, behind, late):
        assert task.done
        assert task.error is not None
    store.gate.set()
    eventually(lambda: background.healthy, "a recovery")
    assert stuck.value is None, "an answer that came after it was given up is nobody's"


def test_the_queue_is_bounded(background: Background, store: FakeStore) -> None:
    store.gate.clear()
    background.submit(lambda: store.work(0))
    eventually(lambda: not background._waiting, "the first piece running")
    tasks = [background.submit(lambda: store.work(1)) for _ in range(4)]
    assert [task.done for task in tasks] == [False, False, False, True]
    assert isinstance(tasks[-1].error, BlockingIOError)
    store.gate.set()
    eventually(lambda: all(task.done for task in tasks), "the rest")
    assert background.healthy


def test_several_threads_fail_and_recover_once(store: FakeStore, caplog: pytest.LogCaptureFixture) -> None:
    background = Background("turns", store.ping, threads=3, patience=5)
    store.gate.clear()
    tasks = [background.submit(lambda: store.work(1)) for _ in range(3)]
    eventually(lambda: len(background._running) == 3, "three at work")
    store.error = ConnectionError()
    store.gate.set()
    eventually(lambda: all(task.done for task in tasks), "three failures")
    store.error = None
    eventually(lambda: background.healthy, "a recovery")
    background.close(1)
    assert len(caplog.records) == 2


def test_close_lets_work_finish_within_its_time_and_leaves_no_thread(store: FakeStore) -> None:
    background = Background("turns", store.ping)
    finished = background.submit(lambda: store.work(1))
    background.close(5)
    assert finished.value == 1
    store.gate.clear()
    stuck = background.submit(lambda: store.work(2))
    background.close(0.05)
    assert stuck.done
    assert isinstance(stuck.error, ConnectionError)
    store.gate.set()
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "turnout-turns"], "no thread left")
    assert done(background, lambda: 3) == 3, "it can be used again"
    background.close(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(background: Background, store: FakeStore) -> None:
    assert done(background, lambda: "parent") == "parent"
    with background._changed:  # the worst moment for a fork
        child = os.fork()
        if child == 0:
            task = background.submit(lambda: "child")
            eventually(lambda: task.done, "work in the child")
            os._exit(0 if task.value == "child" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert done(background, lambda: "parent") == "parent"
