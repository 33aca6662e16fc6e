"""In which order the deployments that can take a call are offered to the strategy. Pure."""

from collections.abc import Collection, Mapping, Sequence
from math import inf

from turnout.context import Call
from turnout.deployment import Deployment, ModelGroup
from turnout.engine import cooldown
from turnout.engine.leases import Tries

Tiers = list[Sequence[Deployment]]


def tiers(
    group: ModelGroup,
    bound: Sequence[Deployment] | None,
    domains: Mapping[str, Sequence[Deployment]],
    call: Call,
    tries: Tries,
    now: float,
    shunned: Collection[str] = (),
) -> Tiers:
    """Lists of deployments that can take the call, best list first.

    `bound` are the deployments of a call that may not go elsewhere, None for a call that is free in its group.
    It is offered no deployment of a provider in `shunned` unless nothing else can take it.
    """
    if bound is None:
        found: Tiers = [group.ready[level] for level in group.levels if group.ready[level]]
        if call.home is not None:
            ours = domains.get(call.home, ())
            at_home = [one for one in ours if one.position >= 0 and one.spec.model_group == group.name]
            found = [[one for one in at_home if one.id == call.prefer], at_home, *found]
    else:
        able = [one for one in bound if cooldown.available_at(one, now) <= now]
        preferred = [one for one in able if one.id == call.prefer]
        found = [preferred, able] if preferred else [able]
    if shunned and bound is None and not tries.last_resort:
        found = [[one for one in tier if one.spec.provider not in shunned] for tier in found]
    return _after_failures(found, tries, now) if tries.again_at else found


def _after_failures(found: Tiers, tries: Tries, now: float) -> Tiers:
    """Those that this call has not tried, of providers that are not overloaded, then any, then those tried before."""
    fresh = [[one for one in tier if one.id not in tries.again_at] for tier in found]
    calm = [[one for one in tier if one.spec.provider not in tries.providers] for tier in fresh]
    again = [
        [one for one in tier if one.id not in tries.barred and tries.again_at.get(one.id, inf) <= now] for tier in found
    ]
    return [*calm, *fresh, *again]
