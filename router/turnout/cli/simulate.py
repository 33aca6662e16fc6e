"""`turnout simulate`: one's own configuration in virtual time, under traffic and faults of one's choice."""

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from turnout.config.settings import STRATEGY_NAMES
from turnout.errors import ConfigError
from turnout.sim import runs as playing
from turnout.sim.cloud_file import CloudFile, read_cloud
from turnout.sim.planned_traffic import PlannedTraffic
from turnout.sim.report import Report
from turnout.sim.report_html import write_report
from turnout.sim.runs import Run
from turnout.sim.schedule import parse_fault
from turnout.sim.simulation import Simulation, prepare
from turnout.sim.simulation_report import Bound, parse_bounds, report_of
from turnout.sim.tables import print_report, report_json
from turnout.sim.traffic import PROFILES
from turnout_adapters.registry import nearest

WIDTH = 180
"""Columns, where the output is no terminal."""
_FIRST, _EVERY = 1.0, 5.0
"""Seconds until the first line of progress, and between two of them, where it is none."""
_STDOUT = Path("-")
_STRATEGIES = ", ".join(STRATEGY_NAMES)
_MISSED = 1
_INTERRUPTED = 130


def simulate(  # noqa: PLR0913 (the options of a command)
    config: Annotated[Path, typer.Argument(help="LiteLLM's config.yaml.")],
    cloud: Annotated[Path | None, typer.Option(help="YAML: what the regions are like, faults, traffic.")] = None,
    trace: Annotated[Path | None, typer.Option(help="The calls of a trace file (Azure, Mooncake, CSV).")] = None,
    profile: Annotated[str | None, typer.Option(help=f"Built-in traffic: {', '.join(PROFILES)}.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Length; an hour, or all of the trace.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Calls per second of a profile.")] = None,
    scale: Annotated[float | None, typer.Option(min=0.001, help="Calls come so many times as fast.")] = None,
    stream: Annotated[float | None, typer.Option(min=0, max=1, help="Share of calls that stream.")] = None,
    follow_ups: Annotated[float | None, typer.Option(min=0, max=1, help="Share that continue an answer.")] = None,
    mistakes: Annotated[float | None, typer.Option(min=0, max=1, help="Share that is answered with a 404.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help='As "eastus down 10m-20m"; repeatable.')] = None,
    strategy: Annotated[list[str] | None, typer.Option(help=f"Repeat to compare: {_STRATEGIES}.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare all strategies.")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each strategy, with other chance.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    model: Annotated[str | None, typer.Option(help="The model group to call; by default the first.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with charts.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write JSON; - for standard output.")] = None,
    fail_under: Annotated[str | None, typer.Option(help='Exit with 1 if missed, as "ok=99.5,p99=20".')] = None,
) -> None:
    """Simulates hours of traffic on your own configuration in seconds; no key is needed, nothing is sent."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, stderr=json_file == _STDOUT)
    try:
        bounds = [] if fail_under is None else parse_bounds(fail_under, "--fail-under")
        _check_folders(html_file, json_file)
        described = CloudFile() if cloud is None else read_cloud(cloud)
        given = {"seconds": None if minutes is None else minutes * 60, "rate": rate, "scale": scale, "stream": stream}
        given |= {"follow_ups": follow_ups, "mistakes": mistakes}
        simulation = prepare(
            config,
            cloud=described,
            model=model,
            faults=[parse_fault(one, "--fault") for one in fault or ()],
            traffic=_traffic(described.traffic, trace, profile, given),
        )
        runs = [
            Run(name, number)
            for name in _strategies(strategy or [], simulation, compare=compare)
            for number in range(seed, seed + seeds)
        ]
        with _progress(simulation, runs) as progress:
            played = playing.play_all(simulation, runs, jobs=jobs, progress=progress)
    except ConfigError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:  # before the first call
        raise typer.Exit(_INTERRUPTED) from None
    report = report_of(config.name, simulation, runs, played)
    print_report(report, console)
    _write(report, html_file, json_file)
    missed = _missed(report, bounds)
    for one in missed:
        console.print(one, style="bold red", markup=False)
    whole = len(played) == len(runs) and all(one.complete for one in played.values())
    raise typer.Exit(_INTERRUPTED if not whole else _MISSED if missed else 0)


def _check_folders(*files: Path | None) -> None:
    for path in files:
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")


def _traffic(
    planned: PlannedTraffic, trace: Path | None, profile: str | None, given: Mapping[str, Any]
) -> PlannedTraffic:
    """The cloud file's, with what the options say in its place."""
    if trace is not None and profile is not None:
        raise ConfigError("--profile: a trace has its own statistics; leave one of them out")
    if profile is not None and profile not in PROFILES:
        raise ConfigError(f"--profile: no traffic is called {profile!r}; {nearest(profile, PROFILES)}")
    if trace is not None:
        planned = replace(planned, trace=str(trace), profile=None, rate=None)
    elif profile is not None:
        planned = replace(planned, trace=None, profile=profile)
    planned = replace(planned, **{name: value for name, value in given.items() if value is not None})
    planned.check()
    return planned


def _strategies(wanted: Sequence[str], simulation: Simulation, *, compare: bool) -> list[str]:
    for name in wanted:
        if name not in STRATEGY_NAMES:
            raise ConfigError(f"--strategy: unknown strategy {name!r}; {nearest(name, STRATEGY_NAMES)}")
    if compare:
        return list(dict.fromkeys([*wanted, *STRATEGY_NAMES]))
    return list(dict.fromkeys(wanted)) or [simulation.own_strategy]


@contextmanager
def _progress(simulation: Simulation, runs: Sequence[Run]) -> Generator[playing.Progress]:
    """A bar on a terminal, a line now and then elsewhere; on standard error, for results go to the other."""
    seconds = simulation.traffic.length()
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(seconds * len(runs), console).tell
        return
    columns = (TextColumn("simulating"), BarColumn(24), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=seconds * len(runs), told="")

        def tell(passed: Mapping[Run, float]) -> None:
            done = sum(passed.values())
            bars.update(bar, completed=done, told=f"{done / 60:,.0f} of {seconds * len(runs) / 60:,.0f} minutes")

        yield tell


class _Lines:
    """Progress as lines."""

    def __init__(self, seconds: float, console: Console) -> None:
        self._seconds = seconds
        self._console = console
        self._next = monotonic() + _FIRST

    def tell(self, passed: Mapping[Run, float]) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + _EVERY
            self._console.print(f"simulated {sum(passed.values()) / 60:,.0f} of {self._seconds / 60:,.0f} minutes")


def _write(report: Report, html_file: Path | None, json_file: Path | None) -> None:
    if html_file is not None:
        write_report(html_file, report)
    if json_file is None:
        return
    text = json.dumps(report_json(report), indent=2) + "\n"
    if json_file == _STDOUT:
        sys.stdout.write(text)
    else:
        json_file.write_text(text, encoding="utf-8")


def _missed(report: Report, bounds: Sequence[Bound]) -> list[str]:
    told = [(run.name, bound.missed_by(run.summary)) for run in report.runs for bound in bounds]
    return [f"{name}: {why}" for name, why in told if why is not None]
