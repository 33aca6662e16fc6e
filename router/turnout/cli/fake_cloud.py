"""`turnout fake-cloud`: the regions of a cloud file on real sockets, with their faults, until Ctrl-C."""

import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from turnout.errors import ConfigError
from turnout.sim.cloud_file import CloudFile, read_cloud
from turnout.sim.cloud_regions import model_list_of, regions_of
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.schedule import FAULTS, Change, changes

_LOOK = 0.25
_SHOWN = 5
"""Changes that the screen still shows."""


def fake_cloud(
    file: Annotated[Path, typer.Argument(help="YAML: the regions, and what happens to them.")],
    port: Annotated[int | None, typer.Option(min=1024, max=65000, help="Of the first region; others follow.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="End by itself.")] = inf,
    seed: Annotated[int, typer.Option(help="The regions' luck.")] = 0,
) -> None:
    """Serves fake regions on 127.0.0.1, and prints the model_list that calls them."""
    try:
        cloud = read_cloud(file)
        if not cloud.regions:
            raise ConfigError(f"{file}: regions: is empty; name at least one region")
        planned = changes(cloud.faults, list(cloud.regions))
        server = FakeCloud(regions_of(cloud, seed), first_port=port)
        with _stopped_by_signals() as stop, server:
            _tell(cloud, server)
            happened: list[str] = []
            begun = time.monotonic()
            server.play(planned, lambda change: happened.append(_line(change)))
            _watch(server, stop, begun, seconds, happened)
    except ConfigError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"--port {port}: {error.strerror or error}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _stopped_by_signals() -> Generator[Event]:
    """Ctrl-C, or being told to terminate, sets the event; the server is then closed in order."""
    stop = Event()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of handlers)
        stop.set()

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _tell(cloud: CloudFile, server: FakeCloud) -> None:
    """Where the regions are, as a configuration: on standard output, for a file or another program."""
    urls = {name: region.url for name, region in server.regions.items()}
    for name, url in urls.items():
        sys.stdout.write(f"# {name} ({cloud.regions[name].provider}): {url}\n")
    sys.stdout.write(yaml.safe_dump({"model_list": model_list_of(cloud, urls)}, sort_keys=False))
    sys.stdout.flush()


def _line(change: Change) -> str:
    kind = next(name for name, (condition, _) in FAULTS.items() if condition == change.condition)
    now = f"now {change.value:g}" if not isinstance(change.value, bool) else "begins" if change.value else "ends"
    return f"{change.at:6.0f} s  {change.region}: {kind} {now}"


def _watch(server: FakeCloud, stop: Event, begun: float, seconds: float, happened: list[str]) -> None:
    """A live table on a terminal, a line for each change elsewhere; on standard error."""
    console = Console(stderr=True)
    told = 0
    if console.is_terminal:
        with Live(_screen(server, begun, happened), console=console, refresh_per_second=4, transient=True) as live:
            while not stop.wait(_LOOK) and time.monotonic() < begun + seconds:
                live.update(_screen(server, begun, happened))
        return
    while not stop.wait(_LOOK) and time.monotonic() < begun + seconds:
        for line in happened[told:]:
            console.print(line, markup=False)
        told = len(happened)


def _screen(server: FakeCloud, begun: float, happened: list[str]) -> Group:
    table = Table(title=f"fake cloud, {time.monotonic() - begun:.0f} s", title_justify="left")
    for head in ("region", "port", "server", "requests", "in flight", "waiting", "served", "429", "failed"):
        table.add_column(head, justify="left" if head in ("region", "server") else "right")
    for name, region in server.regions.items():
        slots = None if region.service is None else region.service.slots
        failed = sum(times for status, times in region.statuses.items() if status >= 400 and status != 429)
        figures = (region.requests, region.in_flight, len(slots.waiting) if slots else 0, region.served)
        table.add_row(
            Text(name),
            region.url.rpartition(":")[2],
            Text("up", "green") if server.is_up(name) else Text("DOWN", "bold red"),
            *(f"{figure:,}" for figure in (*figures, region.statuses[429], failed)),
        )
    return Group(table, *(Text(line) for line in happened[-_SHOWN:]), Text("ctrl-c: stop", "dim"))
