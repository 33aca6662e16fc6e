"""What is shown while a load test runs: a live table on a terminal, a line now and then elsewhere."""

import asyncio

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.load.running import LoadTest
from turnout.sim.figures import quantile

_EVERY = 2.0
"""Seconds between two lines, where there is no terminal."""


async def watch(test: LoadTest, work: "asyncio.Task[None]", console: Console) -> None:
    """Shows the test until its work is done. Raises what the work raises."""
    if console.is_terminal:
        with Live(_screen(test), console=console, refresh_per_second=4, transient=True) as live:
            while not work.done():
                await asyncio.wait([work], timeout=0.25)
                live.update(_screen(test))
    else:
        told = _EVERY
        while not work.done():
            await asyncio.wait([work], timeout=0.2)
            if test.elapsed >= told:
                told += _EVERY
                console.print(_line(test), soft_wrap=True)
    await work


def _line(test: LoadTest) -> str:
    seconds = sorted(one.seconds for one in test.recent if one.ok)
    p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
    shown = "" if p50 is None or p99 is None else f"   lately p50 {p50:.2f} s, p99 {p99:.2f} s"
    late = f"   late starts {test.late}" if test.late else ""
    cost = f"   ${test.spent:.4f}" if test.spent else ""
    return (
        f"{test.elapsed:6.1f} s   calls {test.started}   under way {test.in_flight}   ok {test.ok}   "
        f"failed {test.done - test.ok}{shown}{late}{cost}"
    )


def _screen(test: LoadTest) -> Group:
    table = Table(title="deployments, as the Router sees them", title_justify="left")
    for head in ("configuration", "deployment", "state", "under way", "success"):
        table.add_column(head, justify="left" if head in ("configuration", "deployment", "state") else "right")
    for target in test.targets:
        for one in target.router.status():
            cells = (one.state, str(one.in_flight), f"{100 * one.success_rate:.0f} %")
            table.add_row(Text(target.name), Text(one.id), *cells)
    bar = Table.grid()  # a bar by itself ends no line
    bar.add_row(ProgressBar(total=1.0, completed=min(_progress(test), 1.0), width=60))
    return Group(bar, Text(_line(test)), table, Text("ctrl-c: stop, with the report so far", "dim"))


def _progress(test: LoadTest) -> float:
    """How near the run is to the nearest of its bounds."""
    bounds = test.plan.bounds
    return max(test.elapsed / bounds.seconds, test.started / bounds.calls, test.spent / bounds.cost)
