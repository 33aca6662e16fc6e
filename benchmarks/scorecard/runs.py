"""One run of one scenario for one router, and many of them in several processes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from random import Random

from benchmarks.scorecard import ours, play
from benchmarks.scorecard.ablation import ABLATIONS
from benchmarks.scorecard.figures import Figures, figures
from benchmarks.scorecard.scenarios import AFTERWARDS, FAULT_SECONDS, SCENARIOS, WARM_UP, Setting
from turnout.sim.traces import read_trace
from turnout.sim.traffic import PROFILES, Arrival, arrivals

_PAUSE = 1.0
"""Seconds between the last call of a trace and its first one, where it begins anew."""
OURS = "turnout adaptive"
REFERENCE = "azure2023_conv.csv.gz"
"""The trace that the gates in seconds are for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What all runs have in common; can be sent to another process."""

    trace: str
    """A file, or the name of a profile."""
    deployments: int
    fault_at: float
    skip: float
    """Seconds of the trace that are left out at its beginning."""


@dataclass(frozen=True, slots=True)
class Run:
    """One of the runs to be made."""

    scenario: int
    router: str
    seed: int
    without: str = ""
    """The rule that is left out."""


def traces_here() -> Path | None:
    """The folder of traces beside this project, if there is one."""
    found = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "traces"
    return found if found.is_dir() else None


@lru_cache(maxsize=2)
def setting(wanted: Wanted) -> Setting:
    """Traffic and regions. A trace that is too short begins anew."""
    end = wanted.fault_at + FAULT_SECONDS + AFTERWARDS
    if wanted.trace in PROFILES:
        profile = PROFILES[wanted.trace]
        made: list[Arrival] = []
        for one in arrivals(Random("scorecard"), profile=profile):
            if one.at >= end:
                break
            made.append(one)
        return Setting(made, wanted.deployments, wanted.fault_at)
    read = list(read_trace(Path(wanted.trace), limit=wanted.skip + end))
    kept = _from(read, wanted.skip)
    while kept and kept[-1].at + _PAUSE < end:
        kept += _from(read, -kept[-1].at - _PAUSE)
    return Setting([one for one in kept if one.at < end], wanted.deployments, wanted.fault_at)


def _from(read: Sequence[Arrival], begin: float) -> list[Arrival]:
    return [
        Arrival(one.at - begin, one.prompt_tokens, one.output_tokens, one.conversation)
        for one in read
        if one.at >= begin
    ]


def make(wanted: Wanted, run: Run) -> tuple[Run, Figures]:
    """Plays it."""
    scenario = SCENARIOS[run.scenario](setting(wanted).with_seed(run.seed))
    if run.router == OURS:
        patch, strategy = ABLATIONS[run.without or "all rules"]
        outcomes = ours.play(scenario, run.seed, strategy, patch=patch)
    else:
        outcomes = play.play(scenario, run.router, run.seed)
    return run, figures(scenario, outcomes)


def _politely() -> None:
    """What is measured in real time at the same moment goes first."""
    if hasattr(os, "nice"):
        os.nice(10)


def make_all(wanted: Wanted, runs: Sequence[Run], workers: int) -> Iterator[tuple[Run, Figures]]:
    """The figures of all runs, as they come. Closing the iterator ends the processes."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_politely)
    try:
        pending = [pool.submit(make, wanted, run) for run in runs]
        for done in as_completed(pending):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


__all__ = ["OURS", "REFERENCE", "WARM_UP", "Run", "Wanted", "make_all", "setting", "traces_here"]
