"""`python -m benchmarks.load`: the command line. docs/load-testing.md tells how to use it."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.load.plan import Bounds, Plan
from benchmarks.load.results import json_of, report_of
from benchmarks.load.running import INTERRUPTED, LoadTest
from benchmarks.load.screen import watch
from benchmarks.load.targets import Target, opened
from turnout.errors import ConfigError
from turnout.sim.report_html import write_report
from turnout.sim.schedule import parse_fault
from turnout.sim.tables import print_report
from turnout.sim.traffic import PROFILES

app = typer.Typer(add_completion=False)
_WIDTH = 180
"""Columns, where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the results are written to."""

    json: Path | None
    html: Path | None

    def __post_init__(self) -> None:
        for path in (self.json, self.html):
            if path is not None and not path.absolute().parent.is_dir():
                raise ConfigError(f"{path}: there is no folder {path.parent}")


@app.command()
def main(  # noqa: PLR0913 (the options of a command)
    config: Annotated[Path, typer.Argument(help="LiteLLM's config.yaml, with the deployments to test.")],
    rps: Annotated[float | None, typer.Option(min=0.001, help="Open loop: so many calls a second (Poisson).")] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Closed loop: so many users, one call at a time.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Open loop: the calls of a trace file.")] = None,
    speed: Annotated[float, typer.Option(min=0.001, help="A trace's calls come so many times as fast.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Bound: no call starts later.")] = inf,
    max_calls: Annotated[float, typer.Option(min=1, help="Bound: so many calls.")] = inf,
    max_cost: Annotated[float, typer.Option(min=0, help="Bound: so many dollars, at the prices of the rows.")] = inf,
    model: Annotated[str | None, typer.Option(help="The model group to call; by default the first.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Another configuration, interleaved with the first.")] = None,
    fake: Annotated[bool, typer.Option("--fake", help="Call a fake cloud on this machine instead.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help='Of the fake cloud, as "eastus down 10s-20s".')] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Stream every answer.")] = False,
    profile: Annotated[str, typer.Option(help=f"Sizes of calls: {', '.join(PROFILES)}.")] = "conv",
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Size of every prompt.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of every answer.")] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds for calls under way at the end.")] = 30.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before calling real providers.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results as JSON.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with charts.")] = None,
) -> None:
    """Load-tests deployments through the Router. Needs --rps, --users or --trace, and a bound."""
    try:
        files = Files(json_file, html_file)
        plan = Plan(
            Bounds(seconds, max_calls, max_cost),
            rps=rps,
            users=users,
            trace=trace,
            speed=speed,
            profile=profile,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            stream=stream,
            drain=drain,
            faults=tuple(parse_fault(one, "--fault") for one in fault or ()),
            seed=seed,
        )
        configs = [config] if compare is None else [config, compare]
        interrupted = asyncio.run(_run(plan, configs, model, files, fake=fake, yes=yes))
    except ConfigError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:  # before the first call
        raise typer.Exit(130) from None
    raise typer.Exit(130 if interrupted else 0)


async def _run(plan: Plan, configs: Sequence[Path], model: str | None, files: Files, *, fake: bool, yes: bool) -> bool:
    """Runs the test and tells what it found. True if it was interrupted."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    async with opened(configs, model, fake=fake) as stage:
        test = LoadTest(plan, stage.targets)
        stage.check(plan.faults)
        _check_prices(plan, stage.targets)
        _check_consent(plan, stage.targets, yes=yes)
        stage.play(plan.faults)
        with _stopped_by_signals(test):
            work = asyncio.create_task(test.run())
            try:
                await watch(test, work, console)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
    report, compared = report_of(test)
    print_report(report, console)
    if files.json is not None:
        files.json.write_text(json.dumps(json_of(test, report, compared), indent=2) + "\n")
    if files.html is not None:
        write_report(files.html, report)
    return test.ended == INTERRUPTED


def _check_prices(plan: Plan, targets: Sequence[Target]) -> None:
    unpriced = [name for target in targets for name in target.unpriced()]
    if plan.bounds.cost < inf and unpriced:
        raise ConfigError(
            "--max-cost needs the prices of every deployment: give input_cost_per_token and output_cost_per_token "
            f"in litellm_params of {', '.join(dict.fromkeys(unpriced))}"
        )


def _check_consent(plan: Plan, targets: Sequence[Target], *, yes: bool) -> None:
    remote = sorted({url for target in targets for url in target.remote()})
    if yes or not remote:
        return
    told = f"This makes real calls, which may cost money, to {', '.join(remote)}; it ends at {plan.bounds}."
    if not sys.stdin.isatty():
        raise ConfigError(f"{told} Give --yes if that is meant, or --fake to call a fake cloud")
    if not typer.confirm(f"{told} Go on?"):
        raise ConfigError("nothing was called")


@contextmanager
def _stopped_by_signals(test: LoadTest) -> Iterator[None]:
    """Ctrl-C, or being told to terminate, ends the test with what it has found so far."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError):  # Windows: Ctrl-C ends the process without a report
        for one in caught:
            loop.add_signal_handler(one, test.stop)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for one in caught:
                loop.remove_signal_handler(one)


if __name__ == "__main__":
    app()
