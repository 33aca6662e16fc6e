"""What a simulation found, as a report, and the figures that it must reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from turnout.config import check
from turnout.sim.figures import Summary, by_deployment, over_time, summarise
from turnout.sim.figures_columns import MISSING
from turnout.sim.record import Outcome
from turnout.sim.report import Mark, Report, RunReport, fitting_bucket
from turnout.sim.runs import Run
from turnout.sim.simulation import Played, Simulation
from turnout_adapters.registry import nearest


def report_of(name: str, simulation: Simulation, runs: Sequence[Run], played: Mapping[Run, Played]) -> Report:
    """The report, of whatever was played of the runs. Seeds of one strategy are put together, but for the charts."""
    shown = [
        _strategy(simulation, strategy, [played[run] for run in runs if run.strategy == strategy and run in played])
        for strategy in dict.fromkeys(run.strategy for run in runs if run in played)
    ]
    return Report(
        f"Simulation of {name}",
        "The real Router in virtual time, over simulated regions.",
        shown,
        _facts(simulation, runs, played),
    )


def _strategy(simulation: Simulation, strategy: str, played: Sequence[Played]) -> RunReport:
    outcomes: list[Outcome] = [outcome for one in played for outcome in one.outcomes]
    first = played[0].outcomes
    bucket = fitting_bucket(max((one.at for one in first), default=0.0))
    marks = [Mark(one.start, one.end, str(one)) for one in simulation.faults]
    return RunReport(strategy, summarise(outcomes), by_deployment(outcomes), over_time(first, bucket), marks)


def _facts(simulation: Simulation, runs: Sequence[Run], played: Mapping[Run, Played]) -> dict[str, str]:
    facts = {"model group": simulation.model, "traffic": str(simulation.traffic)}
    if simulation.faults:
        facts["faults"] = "; ".join(f"{one}, {_span(one.start, one.end)}" for one in simulation.faults)
    seeds = list(dict.fromkeys(run.seed for run in runs))
    if len(seeds) > 1:
        facts["seeds"] = f"{', '.join(map(str, seeds))} together; the charts show {seeds[0]}"
    guessed = [place.id for place in simulation.places if not place.described]
    if guessed:
        facts["regions of default speed"] = f"{', '.join(guessed)} (a cloud file says what they are like)"
    if simulation.left_out:
        facts["settings left out"] = ", ".join(simulation.left_out)
    broken = [f"{run.strategy}, seed {run.seed}" for run in runs if run not in played]
    partly = [
        f"{run.strategy}, seed {run.seed} (up to {one.outcomes[-1].at if one.outcomes else 0:.0f} s)"
        for run, one in played.items()
        if not one.complete
    ]
    if broken or partly:
        facts["stopped"] = "; ".join([*partly, *(f"{one} not played" for one in broken)])
    return facts


def _span(start: float, end: float) -> str:
    return f"{start:g} s on" if end == inf else f"{start:g}-{end:g} s"


_Figure = tuple[Callable[[Summary], float | None], str]
_FIGURES: Mapping[str, _Figure] = {
    "ok": (lambda one: None if one.ok_share is None else 100 * one.ok_share, " %"),
    "p50": (lambda one: one.p50, " s"),
    "p90": (lambda one: one.p90, " s"),
    "p99": (lambda one: one.p99, " s"),
    "max": (lambda one: one.max, " s"),
    "failed": (lambda one: one.failed_per_1000, " per 1000 calls"),
    "throttles": (lambda one: one.throttles_per_1000, " per 1000 calls"),
    "cost": (lambda one: one.cost, " dollars"),
}
"""By name: the figure and its unit."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach: `ok` at least, all others at most."""

    name: str
    limit: float

    def missed_by(self, summary: Summary) -> str | None:
        """What is wrong with a run, in a phrase; None if it is within the bound. A figure that is missing is not."""
        read, unit = _FIGURES[self.name]
        figure = read(summary)
        least = self.name == "ok"
        if figure is not None and (figure >= self.limit if least else figure <= self.limit):
            return None
        told = MISSING if figure is None else f"{figure:.6g}"
        return f"{self.name} is {told}{unit}, must be {'at least' if least else 'at most'} {self.limit:g}{unit}"


def parse_bounds(text: str, where: str) -> list[Bound]:
    """ "ok=99.5,p99=20" as bounds. Raises ConfigError that names what is wrong."""
    found: list[Bound] = []
    for part in text.split(","):
        name, _, limit = (piece.strip() for piece in part.partition("="))
        if name not in _FIGURES:
            raise check.fail(where, f"no figure is called {name!r}; {nearest(name, _FIGURES)}")
        try:
            number = float(limit)
        except ValueError:
            raise check.fail(where, f"{part.strip()!r} is not a figure and a number, such as p99=20") from None
        found.append(Bound(name, check.number(number, where)))
    return found
