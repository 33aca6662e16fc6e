"""Which simulated region stands for which deployment, and what cloud files and faults call it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from turnout.config import DeploymentSpec
from turnout.errors import ConfigError
from turnout.sim.cloud_file import CloudFile
from turnout.sim.schedule import EVERYONE, ScheduledFault
from turnout.sim.service import ServiceModel
from turnout.sim.simulated_router import MADE_UP

_GENERAL = ("api", "www")
"""First parts of a host that tell nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """One deployment and its region."""

    id: str
    group: str
    account: str
    model: ServiceModel
    names: tuple[str, ...]
    """What it may be called, the most exact first: its id, its region, the first part of its host, its model group."""
    described: bool
    """The cloud file says what it is like."""


def name_rows(
    rows: Sequence[Mapping[str, Any]], specs: Sequence[DeploymentSpec]
) -> tuple[list[Mapping[str, Any]], list[DeploymentSpec]]:
    """The same with a readable id for each deployment that has none of its own: its region or host, and its model."""
    taken = Counter(spec.id for spec in specs if "id" in spec.model_info)
    short = Counter(_whereabouts(spec) for spec in specs)
    named_rows: list[Mapping[str, Any]] = []
    named: list[DeploymentSpec] = []
    for row, spec in zip(rows, specs, strict=True):
        if "id" in spec.model_info:
            named_rows.append(row)
            named.append(spec)
            continue
        where = _whereabouts(spec)
        wanted = where if short[where] == 1 else f"{where}/{spec.model}"
        taken[wanted] += 1
        own_id = wanted if taken[wanted] == 1 else f"{wanted}#{taken[wanted]}"
        named_rows.append({**row, "model_info": {**spec.model_info, "id": own_id}})
        named.append(replace(spec, id=own_id))
    return named_rows, named


def _whereabouts(spec: DeploymentSpec) -> str:
    return spec.region or _host(spec) or spec.provider


def _host(spec: DeploymentSpec) -> str:
    host = urlsplit(spec.target.base_url).hostname or ""
    if host.endswith(MADE_UP):
        return ""
    return next((part for part in host.split(".") if part not in _GENERAL), "")


def place_of(spec: DeploymentSpec, cloud: CloudFile) -> Place:
    """The region of a deployment: the one that the cloud describes under its most exact name, else the default."""
    names = (spec.id, spec.region or "", _host(spec), spec.model_group)
    described = next((cloud.regions[name] for name in names if name in cloud.regions), None)
    if described is not None:
        model = described.model
    else:
        model = cloud.default or ServiceModel()
        model = replace(
            model,
            tpm=model.tpm if spec.tpm is None else float(spec.tpm),
            rpm=model.rpm if spec.rpm is None else float(spec.rpm),
            concurrency=spec.max_parallel_requests or model.concurrency,
        )
    return Place(spec.id, spec.model_group, spec.domain, model, names, described is not None)


def ids_called(name: str, places: Sequence[Place]) -> list[str]:
    """The deployments of this name; if an id, a region, a host and a model group share it, those of the first."""
    for level in range(len(places[0].names)):
        if found := [place.id for place in places if place.names[level] == name]:
            return found
    return []


def aimed(fault: ScheduledFault, places: Sequence[Place], spills: Sequence[str]) -> ScheduledFault:
    """The fault, about deployment ids, or about regions that are only spilled to. Raises ConfigError."""
    if fault.regions == (EVERYONE,):
        return fault
    found: dict[str, None] = {}
    for name in fault.regions:
        ids = ids_called(name, places) or [one for one in spills if one == name]
        if not ids:
            raise ConfigError(f"fault: nothing is called {name!r}; there are {names_of(places, spills)}", param="fault")
        found |= dict.fromkeys(ids)
    return replace(fault, regions=tuple(found))


def names_of(places: Sequence[Place], spills: Sequence[str] = ()) -> str:
    """All names, for people."""
    kinds = ("the deployments", "the regions", "the hosts", "the model groups")
    told: list[str] = []
    for level, kind in enumerate(kinds):
        names = dict.fromkeys(place.names[level] for place in places if place.names[level])
        if names:
            told.append(f"{kind} {', '.join(names)}")
    if spills:
        told.append(f"what is spilled to: {', '.join(spills)}")
    return "; ".join([*told, EVERYONE])
