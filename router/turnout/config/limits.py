"""LiteLLM's limits of rows and providers to quotas."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from turnout.config import check
from turnout.limits.quota import NANO, Quota, Unit
from turnout_adapters.providers import ALIASES, PROVIDERS
from turnout_adapters.registry import nearest

_MINUTE, _DAY = 60.0, 86_400.0
_COUNTED: Mapping[str, tuple[Unit, float]] = {
    "rpm": ("requests", _MINUTE),
    "tpm": ("tokens", _MINUTE),
    "itpm": ("input", _MINUTE),
    "otpm": ("output", _MINUTE),
    "rpd": ("requests", _DAY),
    "tpd": ("tokens", _DAY),
}
"""Name in a row to what is counted, in how many seconds."""
_DURATION = re.compile(r"([1-9]\d{0,5})(s|m|h|d|w|mo)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY, "mo": 30 * _DAY}
_MOST = 2**53 - 1
"""What a number in Redis' scripts can count to exactly; in nano-dollars, nine million dollars."""
_PROVIDER_FIELDS = {
    "budget_limit": "limit", "max_budget": "limit", "time_period": "period", "budget_duration": "period",
}  # fmt: skip
_WITHOUT_STORE = ("share", "closed")


def row_quotas(params: Mapping[str, Any], info: Mapping[str, Any], at: str) -> tuple[Quota, ...]:
    """The quotas of one row, from its litellm_params or else its model_info. Raises ConfigError."""
    given = {name: params.get(name, info.get(name)) for name in (*_COUNTED, "max_budget", "budget_duration")}
    quotas = [
        Quota(name, _within(check.whole(given[name], f"{at}.{name}", 1), f"{at}.{name}"), period, unit)
        for name, (unit, period) in _COUNTED.items()
        if given[name] is not None
    ]
    limit, period = given["max_budget"], given["budget_duration"]
    if limit is not None and period is None:
        raise check.fail(f"{at}.budget_duration", 'is missing; say in which time max_budget may be spent, as in "1d"')
    if period is not None and limit is None:
        raise check.fail(f"{at}.max_budget", "is missing; give the dollars that may be spent in budget_duration")
    if limit is not None:
        for cost in ("input_cost_per_token", "output_cost_per_token"):
            if params.get(cost, info.get(cost)) is None:
                raise check.fail(f"{at}.{cost}", "is missing; max_budget needs it (0 for what is free)")
        quotas.append(_money("max_budget", limit, f"{at}.max_budget", period, f"{at}.budget_duration"))
    return tuple(quotas)


def provider_quotas(given: object, providers: Iterable[str]) -> dict[str, Quota]:
    """The budgets of `provider_budget_config`, by provider; `providers` are those of the rows. Raises ConfigError."""
    name = "provider_budget_config"
    known = {*PROVIDERS, *providers}
    found: dict[str, Quota] = {}
    for alias, budget in check.mapping(given, name).items():
        provider, where = ALIASES.get(alias, alias), f"{name}.{alias}"
        if provider not in known:
            raise check.fail(where, f"no provider has this name; {nearest(alias, known)}")
        fields = check.mapping(budget, where)
        for field in fields:
            if field not in _PROVIDER_FIELDS:
                raise check.fail(f"{where}.{field}", f"unknown; {nearest(field, _PROVIDER_FIELDS)}")
        told = {_PROVIDER_FIELDS[field]: value for field, value in fields.items()}
        for needed, example in (("limit", "budget_limit: 100"), ("period", 'time_period: "1d"')):
            if told.get(needed) is None:
                raise check.fail(where, f"its {needed} is missing; give it, as in {example}")
        found[provider] = _money(where, told["limit"], f"{where}.budget_limit", told["period"], f"{where}.time_period")
    return found


def seconds(value: object, where: str) -> float:
    """A duration as LiteLLM writes it: "30s", "10m", "1h", "30d", "1w"; "1mo" is 30 days."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise check.fail(where, 'must be a duration such as "30s", "10m", "1h" or "30d"')
    return int(match[1]) * _SECONDS[match[2]]


def without_store(given: object) -> dict[str, Any]:
    """`limits_without_store`: what becomes of limits that processes share, when they cannot reach the store."""
    where = "limits_without_store"
    found: dict[str, Any] = {}
    for name, value in check.mapping(given, where).items():
        if name not in ("pacing", "money"):
            raise check.fail(f"{where}.{name}", "unknown; valid are pacing (requests and tokens) and money")
        if value not in _WITHOUT_STORE:
            raise check.fail(f"{where}.{name}", 'must be "share" (limit / known processes) or "closed"')
        found[name] = value
    return found


def _money(name: str, limit: object, where: str, period: object, where_period: str) -> Quota:
    dollars = check.number(limit, where, positive=True)
    _within(round(dollars * NANO), where)
    return Quota.dollars(name, dollars, seconds(period, where_period))


def _within(limit: int, where: str) -> int:
    if limit > _MOST:
        raise check.fail(where, "is larger than can be counted exactly; leave it out")
    return limit
