"""Plays several runs of a simulation, in as many processes as there are processors, and tells how far they are.

A process is spawned, ignores Ctrl-C, and ends with its run; whoever leaves `play_all` early stops them all.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import FrameType
from typing import NamedTuple

from turnout.sim.simulation import Played, Simulation, play

_LOOK = 0.2
"""Seconds between two looks at the processes."""
_LAST_WORD = 10.0
"""Seconds that stopped runs have to hand over what they have."""


class Run(NamedTuple):
    """What is to be played."""

    strategy: str
    seed: int


Progress = Callable[[Mapping[Run, float]], None]
"""Told now and then how many seconds of each run have been simulated."""


def play_all(
    simulation: Simulation, runs: Sequence[Run], *, jobs: int | None = None, progress: Progress | None = None
) -> dict[Run, Played]:
    """Plays the runs, `jobs` at once (by default as many as there are processors), and returns what they gave.

    Ctrl-C ends it with the runs that have begun, as far as they are.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(runs))
    if jobs > 1:
        return _Pool(simulation, runs, jobs, progress).play()
    played: dict[Run, Played] = {}
    passed: dict[Run, float] = {}
    for run in runs:
        told = time.monotonic()

        def go_on(at: float, run: Run = run) -> bool:
            nonlocal told
            if progress is not None and time.monotonic() >= told + _LOOK:
                told = time.monotonic()
                passed[run] = at
                progress(passed)
            return True

        played[run] = play(simulation, run.strategy, run.seed, go_on=go_on)
        if not played[run].complete:
            break
    return played


class _Pool:
    """Processes that play a run each."""

    def __init__(self, simulation: Simulation, runs: Sequence[Run], jobs: int, progress: Progress | None) -> None:
        self._spawning = multiprocessing.get_context("spawn")
        self._simulation = simulation
        self._waiting = list(reversed(runs))
        self._jobs = jobs
        self._progress = progress
        self._stop = self._spawning.Event()
        self._working: dict[Connection, tuple[Run, BaseProcess]] = {}
        self._passed: dict[Run, float] = {}
        self._played: dict[Run, Played] = {}

    def play(self) -> dict[Run, Played]:
        try:
            with _noting_interrupts() as interrupted:
                while (self._waiting or self._working) and not interrupted.is_set():
                    while self._waiting and len(self._working) < self._jobs:
                        self._begin(self._waiting.pop())
                    self._hear(_LOOK)
                    if self._progress is not None:
                        self._progress(self._passed)
                self._stop.set()
                until = time.monotonic() + _LAST_WORD
                while self._working and time.monotonic() < until:
                    self._hear(_LOOK)
        finally:
            for _, process in self._working.values():
                process.terminate()
                process.join()
        return self._played

    def _begin(self, run: Run) -> None:
        ours, theirs = self._spawning.Pipe(duplex=False)
        process = self._spawning.Process(
            target=_work, args=(theirs, self._stop, self._simulation, run), name=f"simulation {run}", daemon=True
        )
        with _deaf_to_interrupts():
            process.start()
        theirs.close()
        self._working[ours] = (run, process)

    def _hear(self, seconds: float) -> None:
        """Takes what the processes say within so many seconds."""
        for connection in wait(list(self._working), seconds):
            if isinstance(connection, Connection):
                self._take(connection)

    def _take(self, connection: Connection) -> None:
        run, process = self._working[connection]
        try:
            said: object = connection.recv()
        except EOFError:
            said = f"the process of {run} ended with code {process.exitcode}"
        if isinstance(said, float):
            self._passed[run] = said
            return
        process.join()
        connection.close()
        del self._working[connection]
        if not isinstance(said, Played):
            raise RuntimeError(f"a simulation failed:\n{said}")
        self._played[run] = said


def _work(told: Connection, stop: Event, simulation: Simulation, run: Run) -> None:
    """In a process of its own: plays the run, and says how far it is, then what came of it, or why nothing did."""
    last = time.monotonic()

    def go_on(at: float) -> bool:
        nonlocal last
        if time.monotonic() >= last + _LOOK:
            last = time.monotonic()
            told.send(at)
        return not stop.is_set()

    try:
        told.send(play(simulation, run.strategy, run.seed, go_on=go_on))
    except BrokenPipeError:  # nobody listens any more
        return
    except Exception:  # noqa: BLE001 (told to the process that waits)
        told.send(traceback.format_exc())


@contextmanager
def _noting_interrupts() -> Generator[threading.Event]:
    """The first Ctrl-C in here sets the event, and breaks nothing off in the middle; the next one raises as usual."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of handlers)
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """A process that is started in here ignores Ctrl-C: only the first one answers to it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
