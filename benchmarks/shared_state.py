"""What a call notices of a Valkey that fails: four Router processes under load share one, and it is made to fail.

    python -m benchmarks.shared_state [--rounds 5] [--down 3] [--processes 4]

Each process has two Routers, which call in turn: one shares cooldowns, facts and transcripts through the server, the
other is the same without it, so that whatever else the machine does meets both alike. Figures are of calls as their
caller sees them, against fake regions in a process of their own that answer after a constant time. A call belongs to a
failure if it ended while the server was away.
"""

import argparse
import asyncio
import itertools
import logging
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from tests.valkey import ValkeySentinel, ValkeyServer, eventually

LATENCY = 0.01
REGIONS = ("eastus", "westus", "swedencentral")
_SPAWN = multiprocessing.get_context("spawn")
_SECRET = "a secret for the benchmark"
_TURNS = 4
_WARM = 20
"""Calls after which a process has loaded all that it needs."""


@dataclass(frozen=True)
class Ended:
    """One call: when it ended (monotonic seconds), how long it took, the name of its error, and by which Router."""

    at: float
    seconds: float
    error: str | None
    shares: bool


@dataclass
class Worker:
    """One process: its calls, once it has ended, and what it has logged so far."""

    pipe: Connection
    calls: list[Ended] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    warm: bool = False

    def listen(self) -> None:
        """Takes what it has said."""
        while not self.calls and self.pipe.poll(0):
            said = self.pipe.recv()
            if isinstance(said, str):
                self.log.append(said)
            elif said is None:
                self.warm = True
            else:
                self.calls = said

    def is_warm(self) -> bool:
        """True once it has made some calls."""
        self.listen()
        return self.warm

    def has_ended(self) -> bool:
        """True once it has told its calls."""
        self.listen()
        return bool(self.calls)

    @property
    def words(self) -> dict[str, list[str]]:
        """By the part of the Router that speaks: whether the store is "down" or "up", in order."""
        found: dict[str, list[str]] = {}
        for message in self.log:
            part, _, rest = message.partition(": the store ")
            found.setdefault(part, []).append("down" if "cannot be reached" in rest else "up")
        return found

    def is_back(self) -> bool:
        """True if no part of it misses the store."""
        self.listen()
        return all(words[-1] == "up" for words in self.words.values())


@dataclass(frozen=True)
class Phase:
    """A piece of time in which the server was well, or failed in one way."""

    kind: str
    begin: float
    end: float


@dataclass
class Outcome:
    """What was seen of a run."""

    phases: list[Phase]
    workers: list[Worker]
    kinds: list[str]

    @property
    def calls(self) -> list[Ended]:
        return [one for worker in self.workers for one in worker.calls]

    def during(self, *kinds: str) -> list[Ended]:
        """All calls that ended in phases of these kinds."""
        spans = [(phase.begin, phase.end) for phase in self.phases if phase.kind in kinds]
        return [one for one in self.calls if any(begin <= one.at < end for begin, end in spans)]

    def slower(self, *kinds: str) -> tuple[int, int]:
        """In phases of these kinds: calls of the Router that shares, and how many of them are slower than the other's
        p99 by more than a millisecond."""
        calls = self.during(*kinds)
        limit = self.p99(*kinds)[1] + 0.001
        shares = [one.seconds for one in calls if one.shares]
        return len(shares), sum(seconds > limit for seconds in shares)

    def p99(self, *kinds: str) -> tuple[float, float]:
        """Seconds in phases of these kinds: of the Router that shares, and of the one that does not."""
        calls = self.during(*kinds)
        shares, alone = ([one.seconds for one in calls if one.shares is which] for which in (True, False))
        return quantile(shares, 0.99), quantile(alone, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else float("nan")


# --- the processes


def _cloud(pipe: Connection) -> None:
    from turnout.sim.fake_cloud import FakeCloud
    from turnout.sim.region import FakeRegion

    with FakeCloud([FakeRegion(name, latency=LATENCY) for name in REGIONS]) as cloud:
        pipe.send({name: cloud[name].url for name in REGIONS})
        pipe.recv()


def rows(urls: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "model_name": "gpt",
            "litellm_params": {"model": "azure/gpt-4o", "api_key": "k", "api_base": url},
            "model_info": {"id": name},
        }
        for name, url in urls.items()
    ]


def _worker(pipe: Connection, urls: dict[str, str], settings: dict[str, Any], tasks: int, pause: float) -> None:
    from turnout import Router

    lock = threading.Lock()
    calls: list[Ended] = []

    def tell(what: Any) -> None:
        with lock:
            pipe.send(what)

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    logging.getLogger("turnout").addHandler(Tell())

    async def turn(router: Router, number: int, previous: str | None, shares: bool) -> str | None:
        more = {} if previous is None else {"previous_response_id": previous}
        started, error, found = time.monotonic(), None, None
        try:
            found = (await router.aresponses("gpt", f"turn {number}", timeout=20, **more)).id
        except Exception as failure:  # noqa: BLE001 (whatever fails a call is counted)
            error = type(failure).__name__
        ended = time.monotonic()
        calls.append(Ended(ended, ended - started, error, shares))
        if len(calls) == _WARM:
            tell(None)
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        return found if (number + 1) % _TURNS else None

    async def talk(sharing: Router, alone: Router) -> None:
        ours: str | None = None
        theirs: str | None = None
        for number in itertools.count():
            ours = await turn(sharing, number, ours, shares=True)
            theirs = await turn(alone, number, theirs, shares=False)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        common = {"id_secret": _SECRET, "transcripts": True}
        async with Router(rows(urls), **common, **settings) as sharing, Router(rows(urls), **common) as alone:
            talks = [loop.create_task(talk(sharing, alone)) for _ in range(tasks)]
            await asyncio.to_thread(pipe.recv)
            for one in talks:
                one.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

    asyncio.run(main())
    tell(calls)


@contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Runs something in a process of its own, which is gone afterwards whatever happens."""
    ours, theirs = _SPAWN.Pipe()
    running = _SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    running.start()
    theirs.close()
    try:
        yield ours
    finally:
        running.kill()
        running.join()
        ours.close()


# --- the failures


@dataclass(frozen=True)
class Failure:
    """How a server is made to fail, and made well again."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]


def _nothing() -> None:
    return


def failures_of(server: ValkeyServer) -> list[Failure]:
    """The ways in which one server can fail."""
    return [
        Failure("killed (-9)", server.kill, server.restart),
        Failure("stopped (SIGSTOP)", server.pause, server.resume),
        Failure("read-only", server.read_only, server.writable),
        Failure("flushed", server.flush, _nothing),
    ]


def failing_over(servers: ValkeySentinel) -> list[Failure]:
    """The master is killed, and the Sentinel moves to the replica; the old master comes back as its replica."""

    def heal() -> None:
        servers.replica.restart()
        servers.replica.follow(servers.master)

    return [Failure("failed over", servers.fail_over, heal)]


@dataclass(frozen=True)
class Plan:
    """How often each failure comes, and for how many seconds the server is well before it and down."""

    rounds: int
    well: float
    down: float
    processes: int = 4
    tasks: int = 2
    """Conversations at a time in each process."""
    pause: float = 0.02
    """Seconds between the calls of one."""


def run(settings: dict[str, Any], failures: Sequence[Failure], plan: Plan) -> Outcome:
    """Load from several processes while the server fails again and again."""
    phases: list[Phase] = []

    def phase(kind: str, seconds: float, change: Callable[[], None]) -> None:
        begin = time.monotonic()
        change()
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        phases.append(Phase(kind, begin, time.monotonic()))

    with ExitStack() as stack:
        cloud = stack.enter_context(process(_cloud))
        urls = cloud.recv()
        load = (urls, settings, plan.tasks, plan.pause)
        workers = [Worker(stack.enter_context(process(_worker, *load))) for _ in range(plan.processes)]
        eventually(lambda: all(worker.is_warm() for worker in workers), "processes that call", 60)
        for _ in range(plan.rounds):
            for failure in failures:
                phase("well", plan.well, _nothing)
                phase(failure.name, plan.down, failure.begin)
                failure.end()
                eventually(lambda: all(worker.is_back() for worker in workers), "processes that have their store back")
        for worker in workers:
            worker.pipe.send("stop")
        eventually(lambda: all(worker.has_ended() for worker in workers), "processes that have ended")
    return Outcome(phases, workers, [failure.name for failure in failures])


def table(outcomes: Sequence[Outcome]) -> None:
    print(f"{'':20s}{'calls':>8s}{'failed':>8s}{'p99 ms':>9s}{'without':>9s}{'added':>8s}{'slower':>8s}")
    for outcome in outcomes:
        for kinds in (["well"], *([kind] for kind in outcome.kinds), outcome.kinds):
            calls, (shares, alone) = outcome.during(*kinds), outcome.p99(*kinds)
            failed = sum(one.error is not None for one in calls)
            name = kinds[0] if len(kinds) == 1 else "all failures"
            added = (shares - alone) * 1e3
            count, slow = outcome.slower(*kinds)
            figures = f"{shares * 1e3:9.2f}{alone * 1e3:9.2f}{added:8.2f}{slow / count:8.2%}"
            print(f"{name:20s}{len(calls):8d}{failed:8d}{figures}")
        errors = sorted({one.error for one in outcome.calls if one.error})
        failed = sum(one.error is not None for one in outcome.calls)
        print(f"{'whole run':20s}{len(outcome.calls):8d}{failed:8d}", *errors)
        lines = [len(said) for worker in outcome.workers for said in worker.words.values()]
        print(f"log lines of a process and part: {min(lines, default=0)} to {max(lines, default=0)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--down", type=float, default=3.0, help="seconds of each failure")
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    plan = Plan(options.rounds, options.down, options.down, options.processes)
    with ValkeyServer() as server:
        alone = run({"redis_url": server.url}, failures_of(server), plan)
    with ValkeySentinel() as servers:
        place = {"sentinel_nodes": servers.sentinel_nodes, "service_name": servers.service}
        watched = run({"cache_kwargs": place}, failing_over(servers), plan)
    table([alone, watched])


if __name__ == "__main__":
    main()
