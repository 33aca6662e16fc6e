"""Which part of a model group's calls each deployment is due: `weight`, else `rpm`, else `tpm`. Pure.

One of the three counts for the whole group: a deployment with 300,000 tokens a minute is not due 300,000 times the
calls of one whose row says nothing.
"""

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from turnout.deployment import Deployment, ModelGroup

if TYPE_CHECKING:  # data of the configuration layer, needed for annotations only
    from turnout.config import DeploymentSpec

_FIELDS = ("weight", "rpm", "tpm")


class ShareUnit(NamedTuple):
    """What shares are measured in, and what stands in for it where a row does not say."""

    field: str | None
    missing: float


def unit_of(stated: "Counter[tuple[float | None, int | None, int | None]]") -> ShareUnit:
    """The first of weight, rpm and tpm that any deployment states; the others count as one weight, or as the mean."""
    for at, field in enumerate(_FIELDS):
        known = [(values[at], count) for values, count in stated.items() if values[at] is not None]
        if not known:
            continue
        if field == "weight":
            return ShareUnit(field, 1.0)
        if len(known) == len(stated):
            return ShareUnit(field, 0.0)
        total = sum(float(value or 0) * count for value, count in known)
        return ShareUnit(field, total / sum(count for _, count in known))
    return ShareUnit(None, 1.0)


def count(group: ModelGroup, deployment: Deployment, by: int) -> None:
    """Notes that a deployment's share came or went, and with it what affinity keys thought best."""
    spec, stated = deployment.spec, group.shares
    own = spec.weight, spec.rpm, spec.tpm
    stated[own] += by
    if not stated[own]:
        del stated[own]
    group.favourites.clear()
    unit = unit_of(stated)
    if unit != group.unit:
        group.unit = unit
        for one in group.members:
            one.share = _share(one.spec, unit)
    deployment.share = _share(spec, unit)


def _share(spec: "DeploymentSpec", unit: ShareUnit) -> float:
    value = None if unit.field is None else getattr(spec, unit.field)
    return unit.missing if value is None else float(value)
