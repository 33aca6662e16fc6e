"""The Router's keyword arguments to one frozen value."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnout.config import check
from turnout.config.affinity import ALWAYS_ON, KINDS, affinity_policy
from turnout.config.hedging import group_hedges, hedge_policy
from turnout.config.limits import provider_quotas, without_store
from turnout.config.policies import fails_by_kind, fallback_policy, model_of, retries_by_kind, retry_policy
from turnout.config.redis import NAMES as REDIS_NAMES
from turnout.config.redis import RedisSettings, redis_settings
from turnout.config.residency import residency_policy
from turnout.config.rows import DeploymentSpec
from turnout.config.transcripts import TranscriptSettings, pin_steps, transcript_settings
from turnout.limits.quota import Quota
from turnout.policies import (
    PIN_STEPS,
    AffinityPolicy,
    BudgetPolicy,
    CooldownPolicy,
    FallbackPolicy,
    HedgePolicy,
    PinStep,
    ResidencyPolicy,
    RetryPolicy,
    WaitPolicy,
)
from turnout_adapters.registry import nearest

STRATEGY_NAMES = ("adaptive", "simple-shuffle", "least-busy", "latency-based-routing", "cost-based-routing")
_CHECKS = {
    **dict.fromkeys((*KINDS, *ALWAYS_ON)),
    "enforce_model_rate_limits": None,
    "router_budget_limiting": None,
    "context_window": "context_window",
    "tags": "tags",
}
"""By name: what to build; None for what is no check here: always on, or an affinity."""
_KNOWN = frozenset(
    """
    routing_strategy routing_strategy_args optional_pre_call_checks enable_pre_call_checks enable_tag_filtering
    num_retries max_retries retry_policy model_group_retry_policy retry_after allowed_fails allowed_fails_policy
    cooldown_time disable_cooldowns fallbacks context_window_fallbacks content_policy_fallbacks default_fallbacks
    max_fallbacks timeout stream_timeout attempt_timeout default_max_parallel_requests max_wait max_queue
    model_group_alias id_secret accept_raw_ids log callbacks store trust_env max_response_bytes set_verbose debug_level
    drop_params raise_on_content_filter deployment_affinity_ttl_seconds model_group_affinity_config cache_kwargs
    transcripts on_pin_unavailable provider_budget_config limits_without_store
    allowed_model_region model_group_region hedge model_group_hedge
    """.split()
).union(REDIS_NAMES)
_NOT_YET = (
    "cache_responses caching_groups client_ttl alerting_config polling_interval "
    "default_priority assistants_config router_general_settings search_tools guardrail_list ignore_invalid_deployments"
).split()
_LONGEST_DEADLINE = 600.0
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything a Router is told besides its rows. Its repr shows no secret."""

    strategy: Any = "adaptive"
    checks: tuple[Any, ...] = ()
    affinity: AffinityPolicy = field(default_factory=AffinityPolicy)
    residency: ResidencyPolicy = field(default_factory=ResidencyPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    group_retry: Mapping[str, RetryPolicy] = field(default_factory=dict[str, RetryPolicy])
    cooldown: CooldownPolicy = field(default_factory=CooldownPolicy)
    fallbacks: FallbackPolicy = field(default_factory=FallbackPolicy)
    budget: BudgetPolicy = field(default_factory=BudgetPolicy)
    provider_budgets: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    limits_without_store: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hedge: HedgePolicy | None = None
    group_hedges: Mapping[str, HedgePolicy | None] = field(default_factory=dict[str, HedgePolicy | None])
    wait: WaitPolicy = field(default_factory=WaitPolicy)
    timeout: float = _LONGEST_DEADLINE
    explicit_timeout: bool = False
    stream_timeout: float | None = None
    attempt_timeout: float | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    id_secrets: tuple[str, ...] = ()
    accept_raw_ids: bool = False
    callbacks: tuple[Any, ...] = ()
    log: Any = None
    store: Any = None
    redis: RedisSettings | None = None
    trust_env: bool = True
    max_response_bytes: int = 64 * 2**20
    """Of a complete answer, as it came and unpacked; streams have no bound."""
    drop_params: bool = False
    raise_on_content_filter: bool = False
    transcripts: TranscriptSettings | None = None
    pin_steps: tuple[PinStep, ...] = PIN_STEPS
    min_retry_delay: float = 0.0
    default_max_parallel_requests: int | None = None

    def __repr__(self) -> str:
        return f"Settings(strategy={self.strategy!r}, {len(self.id_secrets)} id secrets)"


def parse_settings(given: Mapping[str, Any], specs: Sequence[DeploymentSpec], env: Mapping[str, str]) -> Settings:
    """The settings. Raises ConfigError naming the keyword and the fix."""
    for name in given:
        if name in _NOT_YET:
            raise check.fail(name, "this setting of LiteLLM is not supported yet; leave it out")
        if name not in _KNOWN:
            raise check.fail(name, f"unknown keyword of Router; {nearest(name, _KNOWN)}")
    found = {name: check.resolved(value, name, env) for name, value in given.items() if value is not None}
    groups = {spec.model_group for spec in specs}
    aliases = _aliases(found.get("model_group_alias", {}), groups)
    names = groups | set(aliases) | {spec.id for spec in specs}
    timeout = found.get("timeout")
    secrets = _secrets(found.get("id_secret"), env)
    return Settings(
        strategy=_strategy(found),
        checks=_checks(found),
        affinity=affinity_policy(found, groups),
        residency=residency_policy(found, groups),
        retry=retry_policy(found),
        group_retry={
            group: RetryPolicy(_retries(found), retries_by_kind(policy, f"model_group_retry_policy.{group}"))
            for group, policy in check.mapping(
                found.get("model_group_retry_policy", {}), "model_group_retry_policy"
            ).items()
        },
        cooldown=_cooldown(found),
        provider_budgets=provider_quotas(found.get("provider_budget_config", {}), {spec.provider for spec in specs}),
        limits_without_store=without_store(found.get("limits_without_store", {})),
        fallbacks=fallback_policy(found, names),
        hedge=hedge_policy(found.get("hedge"), "hedge"),
        group_hedges=group_hedges(found.get("model_group_hedge", {}), groups),
        wait=WaitPolicy(
            max_wait=_number(found, "max_wait", WaitPolicy().max_wait),
            max_queue=WaitPolicy().max_queue
            if "max_queue" not in found
            else check.whole(found["max_queue"], "max_queue"),
        ),
        timeout=_LONGEST_DEADLINE if timeout is None else check.number(timeout, "timeout", positive=True),
        explicit_timeout=timeout is not None,
        stream_timeout=_optional_number(found, "stream_timeout"),
        attempt_timeout=_optional_number(found, "attempt_timeout"),
        aliases=aliases,
        id_secrets=secrets,
        accept_raw_ids=check.flag(found.get("accept_raw_ids", False), "accept_raw_ids"),
        callbacks=_callbacks(found.get("callbacks", ())),
        log=None if found.get("log") is False else found.get("log"),
        store=_with_methods(found.get("store"), "store", ("get", "set", "delete")),
        redis=redis_settings(found),
        trust_env=check.flag(found.get("trust_env", True), "trust_env"),
        max_response_bytes=check.whole(found.get("max_response_bytes", 64 * 2**20), "max_response_bytes", 1),
        drop_params=check.flag(found.get("drop_params", False), "drop_params"),
        raise_on_content_filter=check.flag(found.get("raise_on_content_filter", False), "raise_on_content_filter"),
        transcripts=transcript_settings(found, secrets),
        pin_steps=pin_steps(found),
        min_retry_delay=_number(found, "retry_after", 0.0),
        default_max_parallel_requests=None
        if "default_max_parallel_requests" not in found
        else check.whole(found["default_max_parallel_requests"], "default_max_parallel_requests", 1),
    )


def _retries(found: Mapping[str, Any]) -> int:
    return check.whole(found.get("num_retries", found.get("max_retries", 2)), "num_retries")


def _number(found: Mapping[str, Any], name: str, default: float) -> float:
    return default if name not in found else check.number(found[name], name)


def _optional_number(found: Mapping[str, Any], name: str) -> float | None:
    return None if name not in found else check.number(found[name], name, positive=True)


def _strategy(found: Mapping[str, Any]) -> Any:
    given = found.get("routing_strategy", "adaptive")
    if found.get("routing_strategy_args"):
        raise check.fail(
            "routing_strategy_args", "no strategy takes arguments by name; pass a strategy object as routing_strategy"
        )
    if isinstance(given, str):
        if given not in STRATEGY_NAMES:
            raise check.fail(
                "routing_strategy", f"unknown strategy {given!r}; {nearest(given, STRATEGY_NAMES)}, or pass an object"
            )
        return given
    if isinstance(given, type):
        raise check.fail("routing_strategy", f"is the class {given.__name__}; pass an instance, {given.__name__}()")
    return _with_methods(given, "routing_strategy", ("pick",))


def _with_methods(value: Any, name: str, methods: tuple[str, ...]) -> Any:
    for method in methods if value is not None else ():
        if not callable(getattr(value, method, None)):
            raise check.fail(name, f"must be an object with a method {method}, got {check.shown(value)}")
        if inspect.iscoroutinefunction(getattr(value, method)):
            raise check.fail(name, f"its method {method} is async; it is called under a lock and must not wait")
    return value


def _checks(found: Mapping[str, Any]) -> tuple[Any, ...]:
    given = list(check.sequence(found.get("optional_pre_call_checks", ()), "optional_pre_call_checks", "checks"))
    if check.flag(found.get("enable_pre_call_checks", False), "enable_pre_call_checks"):
        given.append("context_window")
    if check.flag(found.get("enable_tag_filtering", False), "enable_tag_filtering"):
        given.append("tags")
    checks: list[Any] = []
    for index, one in enumerate(given):
        where = f"optional_pre_call_checks[{index}]"
        if not isinstance(one, str):
            checks.append(_with_methods(one, where, ("reject",)))
        elif one not in _CHECKS:
            raise check.fail(where, f"unknown check {one!r}; {nearest(one, _CHECKS)}, or pass an object")
        elif (built := _CHECKS[one]) is not None and built not in checks:
            checks.append(built)
    return tuple(checks)


def _cooldown(found: Mapping[str, Any]) -> CooldownPolicy:
    changes: dict[str, Any] = {"enabled": not check.flag(found.get("disable_cooldowns", False), "disable_cooldowns")}
    if "cooldown_time" in found:
        pause = check.number(found["cooldown_time"], "cooldown_time")
        changes |= {"base": pause, "cap": pause}
    if "allowed_fails" in found:
        changes["allowed_fails"] = check.whole(found["allowed_fails"], "allowed_fails")
    if "allowed_fails_policy" in found:
        changes["allowed_fails_by_kind"] = fails_by_kind(found["allowed_fails_policy"], "allowed_fails_policy")
    return CooldownPolicy(**changes)


def _aliases(given: object, groups: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for alias, target in check.mapping(given, "model_group_alias").items():
        where = f"model_group_alias.{alias}"
        name = check.text(model_of(target), where)
        if name not in groups:
            raise check.fail(where, f"no model group is called {name!r}; {nearest(name, groups)}")
        found[alias] = name
    return found


def _secrets(given: object, env: Mapping[str, str]) -> tuple[str, ...]:
    if given is None:
        stored = env.get("TURNOUT_ID_SECRET", "")
        given, where = [part.strip() for part in stored.split(",") if part.strip()], "TURNOUT_ID_SECRET"
    else:
        given, where = [given] if isinstance(given, str) else given, "id_secret"
        if not given:
            raise check.fail(where, "is empty; give a secret, or a list of them with the signing one first")
    secrets = check.texts(given, where)
    if any(len(secret) < _SHORTEST_SECRET for secret in secrets):
        raise check.fail(
            where, f"each secret must have {_SHORTEST_SECRET} characters or more (`openssl rand -hex 32` makes one)"
        )
    return secrets


def _callbacks(given: object) -> tuple[Any, ...]:
    callbacks = check.sequence(given, "callbacks", "functions")
    for index, one in enumerate(callbacks):
        if not callable(one):
            raise check.fail(f"callbacks[{index}]", f"must be a function that takes one event, got {check.shown(one)}")
        if inspect.iscoroutinefunction(one):
            raise check.fail(
                f"callbacks[{index}]", "is async; give a plain function, which may put the event on a queue"
            )
    return tuple(callbacks)
