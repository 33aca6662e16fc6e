"""A cloud as a YAML file: what its regions are like, what happens to them, and the traffic that they get.

    regions:
      eastus: {tpm: 300000, rpm: 1800}
      ptu: {provider: azure, ptu: true, tpm: 120000, spill: eastus}
      claude: {provider: anthropic, first_token: 0.6}
    faults:
      - eastus down 10m-20m
    traffic: {profile: conv, rate: 5, seconds: 1h, stream: 0.5}

docs/simulation.md says what each field means.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnout.config import check
from turnout.sim.planned_traffic import PlannedTraffic
from turnout.sim.schedule import ScheduledFault, parse_fault, parse_seconds
from turnout.sim.service import ServiceModel
from turnout.sim.traffic import PROFILES
from turnout.yaml_config import read_yaml
from turnout_adapters.registry import nearest

PROVIDERS = ("azure", "openai", "anthropic", "gemini")
"""Whose API a region of `turnout fake-cloud` can speak."""
_SECTIONS = ("regions", "default", "faults", "traffic")


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """One region of the file."""

    model: ServiceModel
    provider: str = "azure"


@dataclass(frozen=True, slots=True)
class CloudFile:
    """What the file says."""

    regions: Mapping[str, RegionPlan] = field(default_factory=dict[str, RegionPlan])
    default: ServiceModel | None = None
    """Of deployments that no region describes; None if the file does not say."""
    faults: tuple[ScheduledFault, ...] = ()
    traffic: PlannedTraffic = field(default_factory=PlannedTraffic)


def read_cloud(path: Path) -> CloudFile:
    """The file, checked. Raises ConfigError that names the field and the fix.

    A trace's path counts from the folder of the file.
    """
    found = check.mapping(read_yaml(path) or {}, str(path))
    _known(found, _SECTIONS, "")
    regions = check.mapping(found.get("regions") or {}, "regions")
    faults = check.sequence(found.get("faults") or (), "faults", 'lines such as "eastus down 10m-20m"')
    default = found.get("default")
    return CloudFile(
        regions={name: _region(given, f"regions.{name}") for name, given in regions.items()},
        default=None if default is None else _region(default, "default").model,
        faults=tuple(parse_fault(check.text(one, f"faults[{at}]"), f"faults[{at}]") for at, one in enumerate(faults)),
        traffic=_traffic(found.get("traffic") or {}, path.parent),
    )


def _known(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in given:
        if name not in names:
            raise check.fail(f"{where}{name}", f"unknown key; {nearest(name, names)}")


def _region(given: object, where: str) -> RegionPlan:
    found = check.mapping(given if given is not None else {}, where)
    _known(found, ("provider", *_SERVICE), f"{where}.")
    values = {
        name: read(found[name], f"{where}.{name}") for name, read in _SERVICE.items() if found.get(name) is not None
    }
    provider = found.get("provider", "azure")
    if provider not in PROVIDERS:
        raise check.fail(f"{where}.provider", f"must be one of {', '.join(PROVIDERS)}, got {check.shown(provider)}")
    if values.get("ptu") and "tpm" not in values:
        raise check.fail(f"{where}.tpm", "is missing: provisioned throughput is so many tokens per minute")
    return RegionPlan(ServiceModel(**values), provider)


def _traffic(given: object, folder: Path) -> PlannedTraffic:
    found = check.mapping(given, "traffic")
    _known(found, tuple(_TRAFFIC), "traffic.")
    values = {
        name: read(found[name], f"traffic.{name}") for name, read in _TRAFFIC.items() if found.get(name) is not None
    }
    if "trace" in values:
        values["trace"] = str(folder / values["trace"])
    return PlannedTraffic(**values)


# --- readers of one field


def _amount(value: object, where: str) -> float:
    return check.number(value, where)


def _positive(value: object, where: str) -> float:
    return check.number(value, where, positive=True)


def _some(value: object, where: str) -> int:
    return check.whole(value, where, 1)


def _seconds(value: object, where: str) -> float:
    return parse_seconds(value, where) if isinstance(value, str) else check.number(value, where, positive=True)


def _share(value: object, where: str) -> float:
    share = check.number(value, where)
    if share > 1:
        raise check.fail(where, f"is a share, from 0 to 1, got {share:g}")
    return share


def _profile(value: object, where: str) -> str:
    name = check.text(value, where)
    if name not in PROFILES:
        raise check.fail(where, f"no traffic is called {name!r}; {nearest(name, PROFILES)}")
    return name


_Reader = Callable[[object, str], Any]
_SERVICE: Mapping[str, _Reader] = {
    "first_token": _amount,
    "per_input_token": _amount,
    "per_output_token": _positive,
    "jitter": _amount,
    "factor": _positive,
    "concurrency": _some,
    "output_tokens_per_second": _positive,
    "tpm": _positive,
    "rpm": _positive,
    "burst": _seconds,
    "ptu": check.flag,
    "spill": check.text,
    "cached_prefixes": check.whole,
}
"""By field of ServiceModel."""
_TRAFFIC: Mapping[str, _Reader] = {
    "profile": _profile,
    "trace": check.text,
    "rate": _positive,
    "scale": _positive,
    "seconds": _seconds,
    "stream": _share,
    "follow_ups": _share,
    "mistakes": _share,
}
"""By field of PlannedTraffic."""
