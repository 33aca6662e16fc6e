"""LiteLLM's retry, cooldown and fallback settings to Turnout's policies."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnout.config import check
from turnout.policies import FallbackPolicy, RetryPolicy
from turnout_adapters.kinds import Kind
from turnout_adapters.registry import nearest

_KINDS: dict[str, tuple[Kind, ...]] = {
    "BadRequestError": (Kind.BAD_REQUEST,),
    "AuthenticationError": (Kind.AUTHENTICATION, Kind.PERMISSION),
    "TimeoutError": (Kind.TIMEOUT,),
    "RateLimitError": (Kind.RATE_LIMIT,),
    "ContentPolicyViolationError": (Kind.CONTENT_POLICY,),
    "InternalServerError": (Kind.INTERNAL, Kind.UNAVAILABLE, Kind.OVERLOADED, Kind.CONNECTION),
}


def retry_policy(found: Mapping[str, Any]) -> RetryPolicy:
    """`num_retries` and `retry_policy`."""
    retries = check.whole(found.get("num_retries", found.get("max_retries", 2)), "num_retries")
    return RetryPolicy(retries, retries_by_kind(found.get("retry_policy"), "retry_policy"))


def retries_by_kind(given: object, where: str) -> dict[Kind, int]:
    """`BadRequestErrorRetries` and its siblings."""
    return _by_kind(given, where, "Retries")


def fails_by_kind(given: object, where: str) -> dict[Kind, int]:
    """`BadRequestErrorAllowedFails` and its siblings."""
    return _by_kind(given, where, "AllowedFails")


def _by_kind(given: object, where: str, suffix: str) -> dict[Kind, int]:
    """From a mapping, or from an object with such attributes (LiteLLM's policy classes)."""
    if given is None:
        return {}
    plain = cast("object", given) if isinstance(given, Mapping) else getattr(given, "__dict__", given)
    fields = check.mapping(plain, where)
    known = {f"{name}{suffix}": kinds for name, kinds in _KINDS.items()}
    found: dict[Kind, int] = {}
    for name, value in fields.items():
        if name not in known:
            raise check.fail(f"{where}.{name}", f"unknown; {nearest(name, known)}")
        if value is not None:
            found |= dict.fromkeys(known[name], check.whole(value, f"{where}.{name}"))
    return found


def fallback_policy(found: Mapping[str, Any], names: set[str]) -> FallbackPolicy:
    """The three tables of fallbacks, and the default."""
    limit = (
        FallbackPolicy().limit if "max_fallbacks" not in found else check.whole(found["max_fallbacks"], "max_fallbacks")
    )
    return FallbackPolicy(
        general=_table(found.get("fallbacks", []), "fallbacks", names),
        context_window=_table(found.get("context_window_fallbacks", []), "context_window_fallbacks", names),
        content_policy=_table(found.get("content_policy_fallbacks", []), "content_policy_fallbacks", names),
        default=_targets(found.get("default_fallbacks", []), "default_fallbacks", names),
        limit=limit,
    )


def _table(given: object, where: str, names: set[str]) -> dict[str, tuple[str, ...]]:
    parts: Sequence[Any] = [given] if isinstance(given, Mapping) else check.sequence(given, where, "mappings")
    table: dict[str, tuple[str, ...]] = {}
    for index, part in enumerate(parts):
        for group, targets in check.mapping(part, f"{where}[{index}]").items():
            if group != "*":
                _check_name(group, f"{where}[{index}]", names)
            table[group] = _targets(targets, f"{where}[{index}].{group}", names)
    return table


def _targets(given: object, where: str, names: set[str]) -> tuple[str, ...]:
    listed: Sequence[Any] = [given] if isinstance(given, str) else check.sequence(given, where, "model group names")
    found: list[str] = []
    for index, one in enumerate(listed):
        name = check.text(model_of(one), f"{where}[{index}]")
        _check_name(name, f"{where}[{index}]", names)
        found.append(name)
    return tuple(found)


def model_of(target: object) -> object:
    """LiteLLM also takes {"model": name} where a name is wanted."""
    return cast("Mapping[str, Any]", target).get("model") if isinstance(target, Mapping) else target


def _check_name(name: str, where: str, names: set[str]) -> None:
    if name in names or any("*" in one and name.startswith(one.partition("*")[0]) for one in names):
        return
    raise check.fail(where, f"no model group, alias or deployment is called {name!r}; {nearest(name, names)}")
