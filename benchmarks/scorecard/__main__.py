"""The scorecard: 17 scenarios, our Router beside models of other routers and an oracle, and gates.

    python -m benchmarks.scorecard [--seeds 5] [--deployments 3] [--trace FILE|PROFILE] [--fault-at 300]
                                   [--scenario 1,2,6] [--ablation] [--json FILE]

1 to 12 run in virtual time: the real Router over simulated regions; the others are models of their published rules
(benchmarks/scorecard/litellm_check.py holds them against LiteLLM itself). 13 to 17 are about what must never happen.
Without --trace it plays the trace that the gates in seconds are for, if it is found beside the project, else traffic
generated with its statistics. Ends with 1 if a gate is not held.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from math import inf
from os import cpu_count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.scorecard.ablation import ABLATIONS
from benchmarks.scorecard.correctness import IN_VIRTUAL_TIME, lines, merged
from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.figures import Figures, mean
from benchmarks.scorecard.gates import GATES, Gate, Name
from benchmarks.scorecard.play import ORACLE, PEERS
from benchmarks.scorecard.redis_faults import in_background
from benchmarks.scorecard.runs import OURS, REFERENCE, WARM_UP, Run, Wanted, make_all, setting, traces_here
from benchmarks.scorecard.scenarios import SCENARIOS
from benchmarks.scorecard.scout import SCOUTED, SCOUTS
from turnout.errors import ConfigError

_SKIP = 300.0
"""Seconds of a trace before the run begins: with 300 s of warm-up, faults begin ten minutes into it."""
_SHOWN: Mapping[int, Sequence[Name]] = {
    number: tuple(dict.fromkeys((*(gate.name for gate in gates), "ok", "p99"))) for number, gates in GATES.items()
}
_TITLES: Mapping[Name, str] = {
    "ok": "ok %", "p99": "p99 s", "slow_down": "slow-down", "failed": "failed/1000", "requests": "calls/request",
    "recovery": "recovery s",
}  # fmt: skip
_WIDTH = 140
_ABLATED: Sequence[tuple[int, Name]] = (
    (1, "p99"), (2, "slow_down"), (2, "recovery"), (5, "failed"), (5, "recovery"), (6, "p99"), (6, "failed"),
    (8, "ok"), (8, "requests"), (12, "p99"), (12, "ok"),
)  # fmt: skip
"""Where rules are left out, and what is shown of it."""

Table_ = dict[tuple[int, str], Figures]


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, prints and judges."""
    given = _parsed(arguments)
    console, begun = _console(), time.monotonic()
    wanted = Wanted(given.trace or _default_trace(), given.deployments, given.fault_at, given.skip)
    reference = Path(wanted.trace).name == REFERENCE and given.skip == _SKIP
    try:
        if not setting(wanted).calls_under_way():
            raise ConfigError(
                f"{wanted.trace}: no call comes within the fault; see --skip and --fault-at", param="trace"
            )
    except ConfigError as error:
        console.print(str(error), style="red")
        return 2
    seeds = range(1, given.seeds + 1)
    numbers = [number for number in given.scenario if number in SCENARIOS]
    judged = [number for number in given.scenario if number not in SCENARIOS]
    runs = [Run(number, router, seed) for number in numbers for router in (OURS, *PEERS) for seed in seeds]
    # what takes long goes first, so that no process is left with it alone at the end
    runs.sort(key=lambda run: run.router != OURS)
    with ExitStack() as stack:
        redis = stack.enter_context(in_background()) if 15 in judged else None
        table = _played(wanted, runs, console, given.workers)
        never = _correctness(judged, seeds)
        if redis is not None:
            never.append(redis())
    failed = _print_scenarios(console, table, numbers, reference=reference)
    failed += _print_correctness(console, never)
    ablation = _ablation(wanted, seeds, console, given.workers) if given.ablation else {}
    scouts = _scouts(wanted, seeds, console, given.workers, table, reference=reference) if given.scouts else {}
    if failed and not given.scouts:
        console.print("With --scouts: what a router can reach that has to find out what ails a region.")
    traffic = f"{Path(wanted.trace).name}, {wanted.deployments} deployments, {given.seeds} seeds"
    console.print(f"{traffic}, {time.monotonic() - begun:.0f} s; {failed} gates not held" if failed else
                  f"{traffic}, {time.monotonic() - begun:.0f} s; every gate is held", style="bold")  # fmt: skip
    if given.json is not None:
        given.json.write_text(json.dumps(_as_json(table, never, ablation, scouts), indent=2))
    return 1 if failed else 0


def _console() -> Console:
    """As wide as the terminal; tables that go to a file need not fit into one."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scorecard", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how often each scenario is played (default 5)")
    parser.add_argument("--deployments", type=int, default=3, help="regions, 2 to 16 (default 3)")
    parser.add_argument("--trace", help="a trace file, or a profile: conv, code, mooncake_conversation ...")
    parser.add_argument("--skip", type=float, default=_SKIP, help="seconds of the trace left out at its beginning")
    parser.add_argument("--fault-at", type=float, default=WARM_UP, help="when faults begin, in seconds (default 300)")
    parser.add_argument("--scenario", type=_numbers, default=list(range(1, 18)), help="such as 1,2,6 (default: all)")
    parser.add_argument("--ablation", action="store_true", help="also play without each of the rules")
    parser.add_argument("--scouts", action="store_true", help="also play what finding out costs at least")
    parser.add_argument("--workers", type=int, default=cpu_count() or 2, help="processes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    if not 2 <= given.deployments <= 16:
        parser.error("--deployments: from 2 to 16")
    if given.seeds < 1:
        parser.error("--seeds: at least 1")
    if given.workers < 1:
        parser.error("--workers: at least 1")
    if not (0 <= given.skip < inf and 0 <= given.fault_at < inf):
        parser.error("--skip and --fault-at: seconds, 0 or more")
    return given


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not set(parts) <= set(map(str, range(1, 18))):
        raise argparse.ArgumentTypeError("scenarios are numbered from 1 to 17")
    return sorted(set(map(int, parts)))


def _default_trace() -> str:
    folder = traces_here()
    return "conv" if folder is None else str(folder / REFERENCE)


def _played(wanted: Wanted, runs: Sequence[Run], console: Console, workers: int) -> Table_:
    found: dict[tuple[int, str], list[Figures]] = defaultdict(list)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("playing", total=len(runs))
        for run, figures in make_all(wanted, runs, workers) if runs else ():
            found[run.scenario, run.without or run.router].append(figures)
            progress.advance(task)
    return {key: mean(figures) for key, figures in found.items()}


def _correctness(judged: Sequence[int], seeds: Iterable[int]) -> list[CorrectnessResult]:
    first = {13: 0, 14: 1, 16: 2, 17: 3}
    return [merged([IN_VIRTUAL_TIME[first[number]](seed) for seed in seeds]) for number in judged if number in first]


def _print_scenarios(console: Console, table: Table_, numbers: Sequence[int], *, reference: bool) -> int:
    """Prints a table for each scenario; the number of gates that were not held."""
    failed = 0
    for number in numbers:
        names = _SHOWN[number]
        shown = Table(title=f"{number}  {_title(number)}", title_justify="left", title_style="bold")
        shown.add_column("router", min_width=24)
        for name in names:
            shown.add_column(_TITLES[name], justify="right")
        ours, oracle = table[number, OURS], table[number, ORACLE]
        for router in (*(peer for peer in PEERS if peer != ORACLE), OURS, ORACLE):
            cells = [_cell(getattr(table[number, router], name)) for name in names]
            shown.add_row(router, *cells, style="bold" if router == OURS else None)
        console.print(shown)
        for gate in GATES[number]:
            held = gate.holds(ours, oracle, reference=reference)
            failed += not held
            verdict = "[green]held[/green]" if held else f"[red]NOT HELD[/red]{_why(gate, oracle)}"
            console.print(f"   gate: {gate}: {verdict}")
    return failed


def _why(gate: Gate, oracle: Figures) -> str:
    value = getattr(oracle, gate.name)
    return "" if value is None else f" (the oracle's figure is {_cell(value)})"


def _title(number: int) -> str:
    text = (
        SCENARIOS[number].__doc__
        or {8: "8: the same with one deployment.", 11: "11: scenario 2, four workers."}[number]
    )
    return text.partition(": ")[2].strip().rstrip(".")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _print_correctness(console: Console, results: Sequence[CorrectnessResult]) -> int:
    for line in lines(sorted(results, key=lambda one: one.number)):
        console.print(line, markup=False, highlight=False)
    return sum(not one.passed for one in results)


def _ablation(wanted: Wanted, seeds: Iterable[int], console: Console, workers: int) -> Table_:
    """Plays the scenarios without each of the rules, and prints what that changes."""
    numbers = sorted({number for number, _ in _ABLATED})
    runs = [Run(number, OURS, seed, rule) for rule in ABLATIONS for number in numbers for seed in seeds]
    table = _played(wanted, runs, console, workers)
    shown = Table(title="without one rule", title_justify="left", title_style="bold")
    shown.add_column("left out", no_wrap=True)
    for number, name in _ABLATED:
        shown.add_column(f"{number}: {_TITLES[name]}", justify="right", overflow="fold")
    for rule in ABLATIONS:
        shown.add_row(rule, *(_cell(getattr(table[number, rule], name)) for number, name in _ABLATED))
    console.print(shown)
    return table


def _scouts(
    wanted: Wanted, seeds: Iterable[int], console: Console, workers: int, known: Table_, *, reference: bool
) -> Table_:
    """Plays routers that find out as cheaply as can be, and prints which of the gates they miss for all that."""
    routers = (OURS, *SCOUTS, ORACLE)
    keys = [(number, router) for router in routers for number in SCOUTED]
    played = _played(wanted, [Run(*key, seed) for key in keys if key not in known for seed in seeds], console, workers)
    table = {key: known[key] if key in known else played[key] for key in keys}
    gates = [(number, gate) for number in SCOUTED for gate in GATES[number]]
    shown = Table(
        title="what finding out costs at least (!: a gate is not held)", title_justify="left", title_style="bold"
    )
    shown.add_column("to find out", no_wrap=True)
    for number, gate in gates:
        shown.add_column(f"{number}: {_TITLES[gate.name]}", justify="right", overflow="fold")
    for router in routers:
        cells: list[str] = []
        for number, gate in gates:
            found = table[number, router]
            held = gate.holds(found, table[number, ORACLE], reference=reference)
            cells.append(_cell(getattr(found, gate.name)) + ("" if held else " !"))
        shown.add_row(router, *cells)
    console.print(shown)
    return table


def _as_json(table: Table_, never: Sequence[CorrectnessResult], ablation: Table_, scouts: Table_) -> dict[str, Any]:
    def rows(of: Table_) -> list[dict[str, Any]]:
        return [{"scenario": number, "router": name, **asdict(found)} for (number, name), found in of.items()]

    return {
        "scenarios": rows(table),
        "correctness": [asdict(one) for one in never],
        "ablation": rows(ablation),
        "scouts": rows(scouts),
    }


if __name__ == "__main__":
    sys.exit(main())
