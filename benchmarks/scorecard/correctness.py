"""Scenarios 13 to 17 of the scorecard: what must never happen.

    python -m benchmarks.scorecard.correctness [--seeds 5]

13, 14, 16 and 17 run in virtual time, once for each seed. 15 needs a real Valkey and real time: it runs once, in a
process of its own, beside the others. Ends with 1 if a gate is not held.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from benchmarks.scorecard.broken_streams import broken_streams
from benchmarks.scorecard.cancels import cancels
from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.forgeries import forged_ids
from benchmarks.scorecard.redis_faults import in_background
from benchmarks.scorecard.throttled_origin import throttled_origin

IN_VIRTUAL_TIME: tuple[Callable[[int], CorrectnessResult], ...] = (
    throttled_origin,
    forged_ids,
    broken_streams,
    cancels,
)
_MERGED: Mapping[str, Callable[[Iterable[float]], float]] = {
    "served_pct": min,
    "served_or_typed_pct": min,
    "kinds_of_refusal": max,
    "longest_line": max,
}
"""How the figures of several seeds become one: the worst of them; those not listed are added up."""


def correctness(seeds: Iterable[int]) -> list[CorrectnessResult]:
    """Scenarios 13 to 17, in order; each is the sum of its seeds. It takes some 20 seconds, and more of many seeds."""
    with in_background() as redis_faults:
        found = [merged(results) for results in zip(*[_of_seed(seed) for seed in seeds], strict=True)]
        return sorted([*found, redis_faults()], key=lambda one: one.number)


def _of_seed(seed: int) -> list[CorrectnessResult]:
    return [scenario(seed) for scenario in IN_VIRTUAL_TIME]


def merged(results: Sequence[CorrectnessResult]) -> CorrectnessResult:
    """One scenario's results of several seeds as one: passed if all are."""
    first = results[0]
    measured = {name: _MERGED.get(name, sum)(one.measured[name] for one in results) for name in first.measured}
    passed = all(one.passed for one in results)
    return CorrectnessResult(first.number, first.title, measured, first.gate, passed)


def lines(results: Iterable[CorrectnessResult]) -> Iterator[str]:
    """The results as text."""
    for one in results:
        verdict = "passed" if one.passed else "FAILED"
        yield f"{one.number} {one.title}: {verdict}"
        yield f"   gate: {one.gate}"
        told = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in one.measured.items())
        yield from (f"   {text}" for text in (told, one.note) if text)


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    logging.getLogger("turnout").setLevel(logging.CRITICAL)
    results = correctness(range(options.seeds))
    print("\n".join(lines(results)))
    sys.exit(0 if all(one.passed for one in results) else 1)


if __name__ == "__main__":
    main()
