"""A user's own configuration in virtual time: its deployments become simulated regions, under the real Router.

simulation = prepare(Path("config.yaml"), traffic=PlannedTraffic(seconds=600))
play(simulation, "least-busy", seed=1).outcomes
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os import environ
from pathlib import Path
from typing import Any, cast

from turnout.config import Settings
from turnout.config.redis import NAMES as REDIS_NAMES
from turnout.errors import ConfigError
from turnout.sim.clock import run
from turnout.sim.cloud_file import CloudFile
from turnout.sim.driving import drive
from turnout.sim.network import VirtualNetwork
from turnout.sim.places import Place, aimed, ids_called, name_rows, place_of
from turnout.sim.plain_region import PlainRegion
from turnout.sim.planned_traffic import PlannedTraffic
from turnout.sim.record import Outcome
from turnout.sim.schedule import ScheduledFault, changes, follow
from turnout.sim.service import Service, ServiceModel
from turnout.sim.simulated_router import SimulatedRouter, read_rows
from turnout.yaml_config import read_config
from turnout_adapters.registry import nearest

MEANINGLESS = (*REDIS_NAMES, *"cache_kwargs callbacks log store id_secret trust_env set_verbose debug_level".split())
"""Settings of the Router that a simulation leaves out: it talks to nobody and tells nobody."""
_REFERENCE = re.compile(r"os\.environ/(.+)|\$\{([A-Za-z_]\w*)\}")
_LOOK = 50
"""Calls between two looks at whether to go on."""


@dataclass(frozen=True, slots=True)
class Spill:
    """Where a deployment spills to."""

    name: str
    """A deployment's id, or the name of a region that is no deployment."""
    model: ServiceModel | None
    """Of the latter."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is simulated. It can be sent to another process."""

    rows: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    model: str
    """The model group that is called."""
    places: tuple[Place, ...]
    spills: Mapping[str, Spill]
    """By deployment id."""
    faults: tuple[ScheduledFault, ...]
    """About deployment ids."""
    traffic: PlannedTraffic
    left_out: tuple[str, ...]
    """Settings of the configuration that mean nothing here."""

    @property
    def own_strategy(self) -> str:
        """The strategy that the configuration says, else the Router's default."""
        return str(self.settings.get("routing_strategy") or Settings().strategy)


@dataclass(frozen=True, slots=True)
class Played:
    """One run."""

    outcomes: Sequence[Outcome]
    complete: bool
    """False if it was stopped: the calls that had ended by then are there."""


def prepare(
    config: Path,
    *,
    cloud: CloudFile | None = None,
    model: str | None = None,
    faults: Iterable[ScheduledFault] = (),
    traffic: PlannedTraffic | None = None,
) -> Simulation:
    """Reads a configuration, and finds each deployment's region.

    A deployment that the cloud does not describe gets its `default`, with the row's own tpm, rpm and
    max_parallel_requests as the provider's limits. `faults` are added to the cloud's; `traffic` stands instead of the
    cloud's. Raises ConfigError.
    """
    cloud = cloud or CloudFile()
    found_rows, found = read_config(config)
    settings = {name: value for name, value in found.items() if name not in MEANINGLESS} | _in_memory(found)
    rows = [cast("Mapping[str, Any]", _made_up(row)) for row in found_rows]
    rows, specs = name_rows(rows, read_rows(rows, settings.get("default_litellm_params")))
    SimulatedRouter(rows, VirtualNetwork([]), **settings).close()
    places = tuple(place_of(spec, cloud) for spec in specs)
    spills = {place.id: _spill(place, places, cloud) for place in places if place.model.spill is not None}
    apart = [one.name for one in spills.values() if one.model is not None]
    return Simulation(
        rows=rows,
        settings=settings,
        model=_group(model, [place.group for place in places]),
        places=places,
        spills=spills,
        faults=tuple(aimed(fault, places, apart) for fault in (*cloud.faults, *faults)),
        traffic=traffic or cloud.traffic,
        left_out=tuple(name for name in found if name in MEANINGLESS),
    )


def play(
    simulation: Simulation, strategy: str, seed: int, *, go_on: Callable[[float], bool] = lambda _: True
) -> Played:
    """One run in virtual time. The same seed gives the same run.

    `go_on` is told, now and then, the second at which a call arrived that has ended; False stops the run, as Ctrl-C
    does.
    """
    return run(_play(simulation, strategy, seed, go_on))


async def _play(simulation: Simulation, strategy: str, seed: int, go_on: Callable[[float], bool]) -> Played:
    services = _services(simulation, seed)
    network = VirtualNetwork(_regions(simulation, services, seed))
    settings = {**simulation.settings, "routing_strategy": strategy}
    router = SimulatedRouter(simulation.rows, network, seed=seed, **settings)
    traffic = simulation.traffic
    arrivals = traffic.arrivals(seed)
    outcomes: list[Outcome] = []
    task = asyncio.current_task()

    def noted(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) % _LOOK == 0 and not go_on(outcome.at) and task is not None:
            task.cancel()

    faults = asyncio.ensure_future(follow(changes(simulation.faults, list(services)), services))
    complete = True
    try:
        await drive(
            router,
            simulation.model,
            arrivals,
            stream=traffic.stream,
            follow_ups=traffic.follow_ups,
            mistaken=traffic.mistaken(seed, len(arrivals)),
            seed=seed,
            on_outcome=noted,
        )
    except asyncio.CancelledError:  # stopped, or Ctrl-C: this is the whole program of its event loop
        complete = False
    finally:
        faults.cancel()
        await asyncio.gather(faults, return_exceptions=True)
        await router.aclose()
    return Played(outcomes, complete)


def _services(simulation: Simulation, seed: int) -> dict[str, Service]:
    services = {place.id: Service(place.id, place.model, seed=seed) for place in simulation.places}
    for spill in simulation.spills.values():
        if spill.model is not None:
            services[spill.name] = Service(spill.name, spill.model, seed=seed)
    for own_id, spill in simulation.spills.items():
        services[own_id].spill = services[spill.name]
    return services


def _regions(simulation: Simulation, services: Mapping[str, Service], seed: int) -> list[PlainRegion]:
    """Deployments of one account know each other's responses."""
    accounts: dict[str, OrderedDict[str, int]] = {}
    regions: list[PlainRegion] = []
    for place in simulation.places:
        region = PlainRegion(services[place.id], seed=seed)
        region.turns = accounts.setdefault(place.account, region.turns)
        regions.append(region)
    return regions


# --- reading the configuration


def _in_memory(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Transcripts are kept in memory, wherever the configuration keeps them."""
    given = settings.get("transcripts")
    if given in (None, True, False):
        return {}
    options: dict[str, Any] = dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}
    return {"transcripts": {**options, "store": "memory", "encrypt": False}}


def _made_up(value: Any) -> Any:
    """A row whose references to variables that are not set get values: a simulation needs no credentials."""
    if isinstance(value, str):
        match = _REFERENCE.fullmatch(value)
        name = "" if match is None else match[1] or match[2]
        return value if not name or environ.get(name) else _made_up_text(name)
    if isinstance(value, Mapping):
        return {key: _made_up(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    return [_made_up(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


def _made_up_text(variable: str) -> str:
    if variable.upper().endswith("VERSION"):
        return "v1"
    words = f"simulated-{variable.lower().replace('_', '-')}"
    return f"https://{words}.example" if variable.upper().endswith(("BASE", "URL", "ENDPOINT")) else words


def _group(model: str | None, groups: Sequence[str]) -> str:
    if model is None:
        return groups[0]
    if not any(fnmatchcase(model, group) for group in groups):
        raise ConfigError(f"model: there is no model group {model!r}; {nearest(model, groups)}", param="model")
    return model


def _spill(place: Place, places: Sequence[Place], cloud: CloudFile) -> Spill:
    name = str(place.model.spill)
    ids = [one for one in ids_called(name, places) if one != place.id]
    if ids:
        return Spill(ids[0], None)
    if name not in cloud.regions:
        known = [*cloud.regions, *(one.id for one in places)]
        raise ConfigError(f"regions: {place.id!r} spills to {name!r}, which is not there; {nearest(name, known)}")
    return Spill(name, cloud.regions[name].model)
