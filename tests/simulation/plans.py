"""What a world is made of: plain values, so that a world can be printed, compared and made smaller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from turnout.sim.schedule import ScheduledFault
from turnout.sim.service import ServiceModel

Row = Mapping[str, Any]
Operation = Literal["create", "retrieve", "delete"]
Reading = Literal["all", "close", "drop", "slow"]
"""What the caller does with a stream: reads it to its end, closes it early, forgets it, or takes its time."""

REGIONS: Mapping[str, tuple[str, ...]] = {
    "westeurope": ("westeurope", "eu"),
    "swedencentral": ("swedencentral", "eu"),
    "uksouth": ("uksouth",),
    "eastus": ("eastus", "us"),
    "us-east-1": ("us-east-1", "us-east", "us"),
}
"""Where deployments are, and by which names a caller may allow that; written down here, not asked of the product."""


@dataclass(frozen=True)
class Place:
    """One deployment: its row, what it is like, and the account at the provider that it belongs to."""

    row: Row
    account: str
    model: ServiceModel

    @property
    def id(self) -> str:
        return self.row["model_info"]["id"]

    @property
    def group(self) -> str:
        return self.row["model_name"]

    def changed(self, **params: Any) -> "Place":
        """With other parameters of its row; `model_name` moves it to another group."""
        group = params.pop("model_name", self.group)
        given = {name: value for name, value in {**self.row["litellm_params"], **params}.items() if value is not None}
        return replace(self, row={**self.row, "model_name": group, "litellm_params": given})


@dataclass(frozen=True)
class PlannedCall:
    """One call, and what its caller does. Seconds."""

    number: int
    at: float
    model: str
    """A model group, an alias or a deployment id."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the call."""
    operation: Operation = "create"
    characters: int = 40
    words: int = 50
    stream: bool = False
    follows: int | None = None
    """The number of the call whose answer this one is about; it waits for that call's end."""
    mistake: bool = False
    cancel: float | None = None
    """After so many seconds the caller gives up."""
    reading: Reading = "all"
    events: int = 0
    """After so many events the caller closes or forgets the stream, or rests."""


@dataclass(frozen=True)
class Change:
    """A change of the deployments, or of the Router itself, while calls run."""

    at: float
    kind: Literal["add", "upsert", "delete", "replace", "close", "forget"]
    places: tuple[Place, ...] = ()
    """What is added or changed, or the whole new list."""
    id: str = ""
    """The deployment that is deleted, or the account that forgets all responses."""


@dataclass(frozen=True)
class World:
    """A configuration, faults and traffic."""

    seed: int
    places: tuple[Place, ...]
    """The deployments at the start."""
    settings: Mapping[str, Any]
    faults: tuple[ScheduledFault, ...]
    calls: tuple[PlannedCall, ...]
    changes: tuple[Change, ...]
    absent: tuple[Place, ...] = ()
    """Deployments that come later, if at all."""

    @property
    def everywhere(self) -> Sequence[Place]:
        """All that there is an address for."""
        return (*self.places, *self.absent)

    def __str__(self) -> str:
        lines = [f"world {self.seed}: {len(self.places)} deployments, {len(self.calls)} calls"]
        lines += [f"  {name}={value!r}" for name, value in self.settings.items()]
        for place in self.everywhere:
            later = " (later)" if place in self.absent else ""
            lines.append(f"  {place.id}{later}: {place.group} on {place.account} {_told(place)}")
        lines += [f"  fault {fault} {fault.start:g}-{fault.end:g}" for fault in self.faults]
        lines += [f"  change {_shown(change)}" for change in self.changes]
        lines += [f"  call {_unusual(call)}" for call in self.calls]
        return "\n".join(lines)


def _told(place: Place) -> str:
    hidden = ("api_key", "api_base", "input_cost_per_token", "output_cost_per_token")
    params = {name: value for name, value in place.row["litellm_params"].items() if name not in hidden}
    plain = ServiceModel()
    model = {name: getattr(place.model, name) for name in plain.__slots__}
    return f"{params} { ({name: value for name, value in model.items() if value != getattr(plain, name)}) }"


def _shown(change: Change) -> str:
    what = change.id or ", ".join(f"{place.id} {_told(place)}" for place in change.places)
    return f"{change.at:g} {change.kind} {what}"


def _unusual(call: PlannedCall) -> str:
    plain = PlannedCall(call.number, call.at, call.model)
    fields = {name: value for name, value in vars(call).items() if value != getattr(plain, name)}
    return f"{call.number} at {call.at:g} to {call.model} {fields}"
