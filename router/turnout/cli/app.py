"""The subcommands."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console

from turnout.cli.demo_screen import show
from turnout.cli.fake_cloud import fake_cloud
from turnout.cli.providers import facts, show_one, show_table
from turnout.cli.simulate import simulate
from turnout.sim.demo import Demo
from turnout_adapters.providers import ALIASES, GONE, PROVIDERS
from turnout_adapters.registry import nearest

app = typer.Typer(help="Calls LLMs through many deployments.", no_args_is_help=True, add_completion=False)


app.command()(simulate)
app.command("fake-cloud")(fake_cloud)


@app.callback()
def _root() -> None:
    """Calls LLMs through many deployments."""


@app.command()
def demo(
    interactive: Annotated[bool, typer.Option(help="Kill and revive regions by key; runs until you quit.")] = False,
    seconds: Annotated[float, typer.Option(min=6, max=600, help="Length of the traffic.")] = 24.0,
    rate: Annotated[float, typer.Option(min=0.5, max=200, help="New conversations per second.")] = 6.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same traffic.")] = 1,
) -> None:
    """Three fake regions behind real sockets, conversations with real statistics; one region dies and comes back."""
    scenario = Demo(seconds=seconds, rate=rate, seed=seed, interactive=interactive)
    try:
        passed = asyncio.run(show(scenario))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if passed else 1)


@app.command()
def providers(
    name: Annotated[str | None, typer.Argument(help="One provider, in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Who can be called: wires, credentials and addresses, from the rows that the code itself uses."""
    name = ALIASES.get(name, name) if name else None
    if name is not None and name not in PROVIDERS:
        typer.echo(GONE.get(name) or f"there is no provider {name!r}; {nearest(name, PROVIDERS)}", err=True)
        raise typer.Exit(2)
    rows = [PROVIDERS[name]] if name else list(PROVIDERS.values())
    if as_json:
        typer.echo(json.dumps({"providers": [facts(row) for row in rows], "gone": dict(GONE)}, indent=2))
    elif name:
        show_one(Console(), rows[0])
    else:
        show_table(Console())
