"""What the demonstration shows: a live table, and a summary at the end."""

import asyncio
import contextlib
import os
import statistics
import sys
from collections.abc import Generator

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from turnout.sim.demo import REGIONS, Demo

_STYLES = {"ready": "green", "cooling down": "red", "probing": "yellow", "throttled": "yellow", "full": "yellow"}


async def show(demo: Demo) -> bool:
    """Runs the demonstration on the terminal. True if every call that could be served was, on the right account."""
    console = Console()
    if demo.interactive and not sys.stdin.isatty():
        console.print("--interactive needs a terminal; running the script instead")
        demo.interactive = False
    async with demo.running():
        with _keys(demo) if demo.interactive else contextlib.nullcontext():
            work = asyncio.create_task(demo.run())
            try:
                await _watch(demo, work, console)
            finally:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
    console.print(_summary(demo))
    return demo.tally.passed


async def _watch(demo: Demo, work: "asyncio.Task[None]", console: Console) -> None:
    if not console.is_terminal:
        told = 0.0
        while not work.done():
            await asyncio.wait([work], timeout=0.2)
            if demo.elapsed >= told:
                told += 4.0
                states = ", ".join(f"{one.id} {one.state}" for one in demo.router.status()) if demo.router else ""
                console.print(f"{demo.elapsed:5.1f} s  {demo.tally.calls} calls, {demo.tally.failed} failed; {states}")
        await work
        return
    with Live(_screen(demo), console=console, refresh_per_second=8, transient=True) as live:
        while not work.done():
            await asyncio.wait([work], timeout=0.125)
            live.update(_screen(demo))
    await work


def _screen(demo: Demo) -> Group:
    table = Table(title="turnout demo: three regions, one model group", expand=False)
    for name in ("region", "server", "router says", "in flight", "served", "s/token", "back in"):
        table.add_column(name, justify="left" if name in ("region", "server", "router says") else "right", min_width=9)
    for one in demo.router.status() if demo.router else ():
        region = demo.cloud[one.id]
        up = demo.cloud.is_up(one.id)
        back = "" if one.available_in in (0, float("inf")) else f"{one.available_in:.1f} s"
        table.add_row(
            one.id,
            Text("up", "green") if up else Text("DOWN", "bold red"),
            Text(one.state, _STYLES.get(one.state, "")),
            str(one.in_flight),
            str(region.served),
            "" if one.seconds_per_token is None else f"{one.seconds_per_token * 1e3:.1f} ms",
            back,
        )
    tally = demo.tally
    line = (
        f"{demo.elapsed:5.1f} s   conversations open {demo.active}   calls {tally.calls}   failed {tally.failed}   "
        f"follow-ups {tally.follow_ups}, on the right account {tally.right}"
    )
    help_line = "keys 1 2 3: kill or revive a region   q: quit" if demo.interactive else "ctrl-c: stop"
    return Group(table, Text(line), *[Text(event, "bold") for event in demo.events], Text(help_line, "dim"))


def _summary(demo: Demo) -> Group:
    tally = demo.tally
    made = tally.calls - tally.failed
    table = Table(title="summary", show_header=False)
    for name, value in (
        ("calls", str(tally.calls)),
        ("failed", str(tally.failed)),
        ("streams cut after their first words (asked again by the caller)", str(tally.cut)),
        ("follow-ups", str(tally.follow_ups)),
        ("follow-ups on the right account", str(tally.right)),
        ("ids that reached a foreign account", str(sum(region.foreign_ids for region in demo.cloud.regions.values()))),
        ("attempts per call", f"{tally.attempts / made:.3f}" if made else "-"),
        ("median seconds per call", f"{statistics.median(tally.seconds):.2f}" if tally.seconds else "-"),
    ):
        table.add_row(name, value)
    verdict = Text("passed: every call that could be served was, and no conversation lost its account", "bold green")
    if not tally.passed:
        verdict = Text(
            "FAILED: " + ("; ".join(tally.errors) or "no call was made, or a follow-up was lost"), "bold red"
        )
    return Group(*[Text(event) for event in demo.events], table, verdict)


@contextlib.contextmanager
def _keys(demo: Demo) -> Generator[None]:
    """Single keys without Enter, for as long as the block; the terminal is put back as it was."""
    import termios  # noqa: PLC0415 (there is none on Windows, where only --interactive is missing)
    import tty  # noqa: PLC0415

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def pressed() -> None:
        key = os.read(file, 1).decode(errors="replace")
        if key == "q":
            demo.stop()
        elif key in "123":
            task = loop.create_task(demo.toggle(REGIONS[int(key) - 1][0]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    tty.setcbreak(file)
    loop.add_reader(file, pressed)
    try:
        yield
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
