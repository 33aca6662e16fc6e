"""What a load test found, as a report, and as JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.load.comparing import Difference, differences
from benchmarks.load.running import LATE, LoadTest
from turnout.sim.figures_columns import count
from turnout.sim.report import Mark, Report, RunReport
from turnout.sim.tables import report_json


def report_of(test: LoadTest) -> tuple[Report, Sequence[Difference]]:
    """The report, whatever part of the test was made, and the differences of two configurations."""
    marks = [Mark(one.start, one.end, str(one)) for one in test.plan.faults]
    runs = [
        RunReport.of(target.name, done, marks=marks) for target, done in zip(test.targets, test.outcomes, strict=True)
    ]
    compared = differences(*test.outcomes, seed=test.plan.seed) if len(test.targets) == 2 else []
    facts = {
        "traffic": test.plan.traffic,
        "bounds": str(test.plan.bounds),
        "ended": f"after {test.elapsed:.1f} s: {test.ended}",
        "calls": f"{count(test.started)} started, {count(test.done)} ended, {count(test.broken_off)} broken off",
        "late starts": _lateness(test),
        **{f"difference in {one.figure}": str(one) for one in compared},
    }
    names = " and ".join(target.name for target in test.targets)
    where = "a fake cloud" if any(target.fake for target in test.targets) else "the deployments themselves"
    return Report(f"Load test of {names}", f"The real Router over sockets, to {where}.", runs, facts), compared


def json_of(test: LoadTest, report: Report, compared: Sequence[Difference]) -> dict[str, Any]:
    """The report as `turnout.sim.tables.report_json` has it, with `load` and `differences`."""
    return {
        **report_json(report),
        "load": {
            "started": test.started,
            "ended": test.done,
            "broken_off": test.broken_off,
            "late_starts": test.late,
            "latest_start": test.latest,
            "seconds": test.elapsed,
            "cost": test.spent,
            "why": test.ended,
        },
        "differences": [{**dataclasses.asdict(one), "clear": one.clear} for one in compared],
    }


def _lateness(test: LoadTest) -> str:
    if test.plan.users is not None:
        return "none: a closed loop starts no call before the one before it has ended"
    if not test.late:
        return f"none by more than {LATE:g} s"
    return (
        f"{count(test.late)} of {count(test.started)} calls by more than {LATE:g} s, one by {test.latest:.2f} s: "
        "this machine was too busy for the load; the lateness is part of their times"
    )
