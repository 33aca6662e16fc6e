"""Replays a seed with what happened in it, or runs many.

python -m tests.simulation 4711 --trace       the world, everything that happened, and what was violated
python -m tests.simulation 4711 --shrink      the smallest world that fails in the same way
python -m tests.simulation --from 0 --count 1000 [--processes 2]
"""

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.many import cores, play_all, progress
from tests.simulation.running import Run, run
from tests.simulation.shrinking import shrink
from tests.simulation.worlds import make


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if all invariants held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this one")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--shrink", action="store_true", help="leave out what the world fails without")
    parser.add_argument("--from", type=int, default=0, dest="first", help="first of many seeds")
    parser.add_argument("--count", type=int, default=200, help="how many seeds")
    parser.add_argument("--processes", type=int, default=cores())
    given = parser.parse_args(arguments)
    return _many(given) if given.seed is None else _one(given)


def _one(given: argparse.Namespace) -> int:
    done = run(make(given.seed), trace=given.trace)
    if given.shrink and done.violation is not None:
        done = run(shrink(done).world, trace=True)
    print(done.world)
    print(done.everything or done.latest)
    print(f"{done.calls} calls, {done.answered} answered, {done.requests} requests; trace {done.digest}")
    return _verdict(done)


def _verdict(done: Run) -> int:
    print("all invariants held" if done.violation is None else f"VIOLATED: {done.violation}")
    return int(done.violation is not None)


def _many(given: argparse.Namespace) -> int:
    seeds = range(given.first, given.first + given.count)
    summary = play_all(seeds, processes=given.processes, told=progress(len(seeds)))
    for seed, text in summary.failed:
        print(f"{seed}: {text}")
    print(", ".join(f"{name} {count}" for name, count in sorted(summary.counts.items())))
    print(f"{summary.seeds} worlds, {len(summary.failed)} failed")
    return int(bool(summary.failed))


if __name__ == "__main__":
    sys.exit(main())
