"""Runs many seeds, in several processes if there are cores, and compares a run with another in another process."""

import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.simulation.running import Run, run
from tests.simulation.worlds import make

_CHUNK = 20


@dataclass
class Summary:
    """What came of many seeds."""

    seeds: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    """Seed, and what was violated."""
    digests: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, one: "Result") -> None:
        self.seeds += 1
        self.digests[one.seed] = one.digest
        self.counts.update(one.counts)
        if one.violation is not None:
            self.failed.append((one.seed, one.violation))


@dataclass(frozen=True)
class Result:
    """What came of one seed, in a form that crosses from process to process."""

    seed: int
    digest: str
    violation: str | None
    counts: dict[str, int]


def play(seed: int) -> Result:
    """Runs one seed."""
    try:
        return result_of(run(make(seed)))
    except Exception as error:
        return Result(seed, "", f"the simulation itself broke: {error!r}", {})


def result_of(done: Run) -> Result:
    counts = {"calls": done.calls, "answered": done.answered, "requests": done.requests, **done.counts}
    violation = None if done.violation is None else str(done.violation)
    return Result(done.world.seed, done.digest, violation, counts)


def play_all(seeds: Sequence[int], *, processes: int = 1, told: Callable[[Summary], None] | None = None) -> Summary:
    """Runs them all; `told` hears of the progress every now and then."""
    summary = Summary()
    for number, one in enumerate(_played(seeds, processes)):
        summary.add(one)
        if told is not None and number % _CHUNK == _CHUNK - 1:
            told(summary)
    return summary


def _played(seeds: Sequence[int], processes: int) -> Iterator[Result]:
    if processes == 1:
        with only_new_garbage():
            yield from map(play, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=freeze) as pool:
        yield from pool.imap(play, seeds, chunksize=_CHUNK)
        pool.close()
        pool.join()


class only_new_garbage:  # noqa: N801 (a context manager)
    """What was there before is no garbage: each world looks for its own only, which takes milliseconds."""

    def __enter__(self) -> None:
        freeze()

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()


def freeze() -> None:
    run(make(0))  # loads what is loaded at the first use
    gc.collect()
    gc.freeze()


def progress(total: int) -> Callable[[Summary], None]:
    """Tells a terminal, or once in a while a log, how far it is."""
    begun, last = time.monotonic(), [0.0]

    def told(summary: Summary) -> None:
        now = time.monotonic()
        if now - last[0] < (1.0 if sys.stderr.isatty() else 15.0) and summary.seeds < total:
            return
        last[0] = now
        end = "\r" if sys.stderr.isatty() and summary.seeds < total else "\n"
        text = f"{summary.seeds} of {total} worlds, {len(summary.failed)} failed, {now - begun:.0f} s"
        print(text, end=end, file=sys.stderr, flush=True)

    return told


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
