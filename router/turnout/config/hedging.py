"""The settings of hedging to one frozen value."""

import re
from collections.abc import Collection
from typing import Any

from turnout.config import check
from turnout.policies import HedgePolicy
from turnout_adapters.registry import nearest

_QUANTILE = re.compile(r"p([1-9]\d?(?:\.\d+)?)")


def hedge_policy(given: object, where: str) -> HedgePolicy | None:
    """True for the defaults, a mapping of `after` ("p95", or seconds) and `budget`; None or False for none.

    Raises ConfigError naming the field and the fix.
    """
    if given is None or given is False:
        return None
    if given is True:
        return HedgePolicy()
    fields = check.mapping(given, where)
    for name in fields:
        if name not in ("after", "budget"):
            raise check.fail(f"{where}.{name}", f"unknown; {nearest(name, ('after', 'budget'))}")
    changes = _delay(fields["after"], f"{where}.after") if "after" in fields else {}
    if "budget" in fields:
        changes["budget"] = check.number(fields["budget"], f"{where}.budget", positive=True)
        if changes["budget"] > 1:
            raise check.fail(f"{where}.budget", "is a part of the calls; give a number up to 1, as in 0.02")
    return HedgePolicy(**changes)


def group_hedges(given: object, groups: Collection[str]) -> dict[str, HedgePolicy | None]:
    """`model_group_hedge`: by model group, instead of `hedge`."""
    found: dict[str, HedgePolicy | None] = {}
    for group, policy in check.mapping(given, "model_group_hedge").items():
        where = f"model_group_hedge.{group}"
        if group not in groups:
            raise check.fail(where, f"no model group is called {group!r}; {nearest(group, groups)}")
        found[group] = hedge_policy(policy, where)
    return found


def _delay(given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, str):
        return {"seconds": check.number(given, where)}
    match = _QUANTILE.fullmatch(given)
    if match is None:
        raise check.fail(where, 'must be seconds, or a percentile such as "p95"')
    return {"quantile": float(match[1]) / 100}
