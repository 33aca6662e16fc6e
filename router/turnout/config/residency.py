"""The regions in which calls may be answered."""

from collections.abc import Collection, Mapping
from typing import Any

from turnout.config import check
from turnout.policies import ResidencyPolicy
from turnout_adapters.registry import nearest


def residency_policy(found: Mapping[str, Any], groups: Collection[str]) -> ResidencyPolicy:
    """`allowed_model_region` and `model_group_region`. Raises ConfigError naming the field and the fix."""
    by_group: dict[str, tuple[str, ...]] = {}
    for group, given in check.mapping(found.get("model_group_region", {}), "model_group_region").items():
        where = f"model_group_region.{group}"
        if group not in groups:
            raise check.fail(where, f"no model group is called {group!r}; {nearest(group, groups)}")
        by_group[group] = regions(given, where)
    return ResidencyPolicy(regions(found.get("allowed_model_region"), "allowed_model_region"), by_group)


def regions(given: object, where: str) -> tuple[str, ...]:
    """One region or a list of them, in the form in which they are compared; () for None."""
    if given is None:
        return ()
    listed = (check.text(given, where),) if isinstance(given, str) else check.texts(given, where)
    if not listed:
        raise check.fail(where, "is an empty list, which allows no region; name one, or leave it out")
    return tuple(one.lower().replace(" ", "") for one in listed)
