"""From one integer to a random world: deployments and accounts, policies, faults, traffic, changes.

Worlds are small and hard: few places, low limits, bursts, faults that overlap. What is drawn is independent of what the
product does, so that a seed stays the same world while the product changes.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.simulation.plans import REGIONS, Change, Place, PlannedCall, World
from turnout.policies import PIN_STEPS
from turnout.sim.schedule import FAULTS, ScheduledFault
from turnout.sim.service import ServiceModel
from turnout.strategies import STRATEGIES

SECRET = "a secret of simulated worlds"
_PROVIDERS = ("azure", "azure", "openai", "anthropic", "gemini", "groq", "mistral")
_AFFINITIES = ("session_affinity", "deployment_affinity", "prompt_caching")
_AMOUNTS = {"errors": (0.2, 1.0), "cut": (0.2, 1.0), "slow": (2.0, 30.0), "capacity": (0.1, 0.6), "skew": (-30.0, 90.0)}
_TAGS = ("gold", "batch")
_HEDGES = (True, {"after": 0.5, "budget": 0.5}, {"after": 0.0, "budget": 1}, {"after": "p50", "budget": 0.3})
_RETRIES = ({"TimeoutErrorRetries": 0}, {"BadRequestErrorRetries": 1, "InternalServerErrorRetries": 4})


def make(seed: int) -> World:
    """The world of a seed."""
    rng = Random(seed)
    seconds = rng.choice((60.0, 120.0, 240.0, 600.0))
    groups = [f"g{number}" for number in range(rng.choice((1, 1, 2, 2, 3)))]
    places = _places(rng, groups)
    settings = _settings(rng, groups, places)
    settings["routing_strategy"] = Random(f"{seed}: strategy").choice(tuple(STRATEGIES))
    absent = tuple(_absent(rng, places))
    calls = _calls(rng, places, settings, seconds)
    changes = tuple(sorted(_changes(rng, places, absent, seconds), key=lambda one: one.at))
    faults = tuple(_fault(rng, places, seconds) for _ in range(rng.choice((0, 1, 2, 3, 4, 6))))
    return World(seed, tuple(places), settings, faults, tuple(calls), changes, absent)


def _maybe(rng: Random, chance: float) -> bool:
    return rng.random() < chance


# --- deployments


def _places(rng: Random, groups: Sequence[str]) -> list[Place]:
    count = max(len(groups), rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 8)))
    accounts = [(rng.choice(_PROVIDERS), f"account{number}") for number in range(rng.randint(1, count))]
    orders = rng.choice(((1,), (1,), (1, 2), (1, 1, 2, 3)))
    tight = rng.choice((0.1, 0.3, 0.6))
    """How many of the limits there are are set."""
    found: list[Place] = []
    for number in range(count):
        provider, account = accounts[number] if number < len(accounts) else rng.choice(accounts)
        group = groups[number] if number < len(groups) else rng.choice(groups)
        found.append(_place(rng, f"d{number}", group, provider, account, rng.choice(orders), tight))
    return found


def _place(rng: Random, name: str, group: str, provider: str, account: str, order: int, tight: float) -> Place:
    params: dict[str, Any] = {
        "model": f"{provider}/model",
        "api_key": f"key of {account}",
        "api_base": f"https://{account}.simulated",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 4e-6,
        "region_name": rng.choice(tuple(REGIONS)),
        "order": order,
    }
    if _maybe(rng, 0.3):
        params["weight"] = rng.choice((0, 0.5, 1, 1, 3))
    if _maybe(rng, 0.2):
        params["tags"] = rng.choice((["gold"], ["batch"], ["default"]))
    if _maybe(rng, 0.15):
        params["cooldown_time"] = rng.choice((0, 1, 10, 30))
    if _maybe(rng, 0.2):
        params["timeout"] = rng.choice((2.0, 5.0, 15.0))
    if _maybe(rng, 0.2):
        params["stream_timeout"] = rng.choice((1.0, 4.0))
    if _maybe(rng, tight):
        params["max_parallel_requests"] = rng.choice((1, 1, 2, 3))
    if _maybe(rng, tight / 2):
        params["rpm"] = rng.choice((3, 10, 30))
    if _maybe(rng, tight / 2):
        params["tpm"] = rng.choice((400, 1500, 5000))
    if _maybe(rng, tight / 4):
        params |= {"max_budget": rng.choice((0.002, 0.01)), "budget_duration": rng.choice(("10s", "30s", "1m", "1h"))}
    row = {"model_name": group, "litellm_params": params, "model_info": {"id": name, "account": account}}
    return Place(row, f"{provider} {account}", _service(rng, tight))


def _service(rng: Random, tight: float) -> ServiceModel:
    ptu = _maybe(rng, 0.15)
    return ServiceModel(
        first_token=rng.choice((0.1, 0.35, 1.0)),
        per_output_token=rng.choice((0.005, 0.02, 0.05)),
        factor=rng.choice((0.5, 1.0, 1.0, 2.0, 5.0)),
        concurrency=rng.choice((1, 2, 4)) if _maybe(rng, tight) else None,
        output_tokens_per_second=rng.choice((50.0, 200.0)) if _maybe(rng, tight / 3) else None,
        tpm=rng.choice((500.0, 1500.0, 6000.0)) if ptu or _maybe(rng, tight) else None,
        rpm=rng.choice((6.0, 20.0)) if _maybe(rng, tight / 2) else None,
        burst=rng.choice((10.0, 60.0)),
        ptu=ptu,
    )


def _absent(rng: Random, places: Sequence[Place]) -> list[Place]:
    """Deployments that may come while calls run: on known accounts and on new ones."""
    found: list[Place] = []
    for number in range(rng.choice((0, 1, 2))):
        like = rng.choice(places)
        provider, account = like.account.split(" ")
        if _maybe(rng, 0.5):
            account = f"new{number}"
        found.append(_place(rng, f"late{number}", like.group, provider, account, 1, 0.3))
    return found


# --- policies


def _settings(rng: Random, groups: Sequence[str], places: Sequence[Place]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "id_secret": SECRET,
        "routing_strategy": "",
        "num_retries": rng.choice((0, 1, 2, 2, 3, 6)),
        "model_group_alias": {"alias": groups[0]},
    }
    choices: dict[str, tuple[float, Sequence[Any]]] = {
        "timeout": (0.5, (5.0, 20.0, 60.0)),
        "attempt_timeout": (0.4, (1.0, 4.0, 15.0)),
        "stream_timeout": (0.2, (2.0, 10.0)),
        "allowed_fails": (0.15, (0, 1, 3)),
        "cooldown_time": (0.15, (0.0, 2.0, 20.0)),
        "disable_cooldowns": (0.08, (True,)),
        "retry_after": (0.1, (0.5, 2.0)),
        "max_wait": (0.3, (0.0, 5.0, 20.0)),
        "max_queue": (0.15, (0, 2, 5)),
        "default_max_parallel_requests": (0.1, (1, 3)),
        "max_fallbacks": (0.2, (0, 1)),
        "transcripts": (0.35, (True,)),
        "raise_on_content_filter": (0.1, (True,)),
        "enable_tag_filtering": (0.15, (True,)),
        "hedge": (0.25, _HEDGES),
        "retry_policy": (0.1, _RETRIES),
        "allowed_fails_policy": (0.1, ({"TimeoutErrorAllowedFails": 0}, {"InternalServerErrorAllowedFails": 1})),
    }  # fmt: skip
    settings |= {name: rng.choice(values) for name, (chance, values) in choices.items() if _maybe(rng, chance)}
    if len(groups) > 1 and _maybe(rng, 0.6):
        settings["fallbacks"] = [{one: rng.sample([g for g in groups if g != one], 1)} for one in groups]
    elif len(groups) > 1 and _maybe(rng, 0.5):
        settings["default_fallbacks"] = [rng.choice(groups)]
    if _maybe(rng, 0.35):
        settings["optional_pre_call_checks"] = rng.sample(_AFFINITIES, rng.randint(1, 3))
    if _maybe(rng, 0.3):
        settings["on_pin_unavailable"] = _pin_steps(rng)
    if _maybe(rng, 0.1):
        settings["model_group_region"] = {rng.choice(groups): rng.choice((["eu"], ["us", "uksouth"]))}
    if _maybe(rng, 0.1):
        provider = rng.choice(places).account.split(" ")[0]
        settings["provider_budget_config"] = {
            provider: {"budget_limit": 0.01, "time_period": rng.choice(("30s", "1m"))}
        }
    return settings


def _pin_steps(rng: Random) -> list[str]:
    middle = [one for one in PIN_STEPS if one not in ("peer", "fail") and _maybe(rng, 0.7)]
    rng.shuffle(middle)
    return ["peer", *middle, "fail"] if _maybe(rng, 0.7) else middle or ["fail"]


# --- faults


def _fault(rng: Random, places: Sequence[Place], seconds: float) -> ScheduledFault:
    kind = rng.choice(tuple(FAULTS))
    start = rng.uniform(0.0, seconds * 0.8)
    length = rng.choice((3.0, 15.0, 40.0, seconds))
    amount = rng.uniform(*_AMOUNTS[kind]) if kind in _AMOUNTS else 1.0
    whom = ("all",) if _maybe(rng, 0.3) else tuple({rng.choice(places).id: None for _ in range(rng.randint(1, 2))})
    return ScheduledFault(whom, kind, round(start, 3), round(start + length, 3), round(amount, 3))


# --- traffic


def _calls(rng: Random, places: Sequence[Place], settings: dict[str, Any], seconds: float) -> list[PlannedCall]:
    count = rng.randint(30, 80)
    bursts = [rng.uniform(0.0, seconds) for _ in range(rng.randint(1, 3))]
    share = rng.choice((0.0, 0.3, 0.7))
    """Of calls that come in bursts."""
    streams = rng.choice((0.0, 0.3, 0.8))
    moments = [
        rng.choice(bursts) + rng.expovariate(3.0) if _maybe(rng, share) else rng.uniform(0.0, seconds)
        for _ in range(count)
    ]
    calls: list[PlannedCall] = []
    for number, at in enumerate(sorted(moments)):
        calls.append(_call(rng, number, round(at, 3), places, settings, streams))
    return calls


def _call(
    rng: Random, number: int, at: float, places: Sequence[Place], settings: dict[str, Any], streams: float
) -> PlannedCall:
    groups = sorted({one.group for one in places})
    model = rng.choice((*groups, *groups, "alias")) if _maybe(rng, 0.9) else rng.choice(places).id
    follows = rng.randrange(number) if number and _maybe(rng, 0.3) else None
    operation = "create"
    if follows is not None and _maybe(rng, 0.2):
        operation = rng.choice(("retrieve", "retrieve", "delete"))
    stream = operation == "create" and _maybe(rng, streams)
    cancel = rng.choice((0.0, rng.uniform(0.0, 2.0), rng.uniform(0.0, 20.0))) if _maybe(rng, 0.12) else None
    return PlannedCall(
        number,
        at,
        model,
        _options(rng, groups, settings, operation),
        operation,
        characters=rng.choice((20, 100, 400, 4100)),
        words=rng.choice((5, 50, 50, 300)),
        stream=stream,
        follows=follows,
        mistake=operation == "create" and _maybe(rng, 0.05),
        cancel=None if cancel is None else round(cancel, 3),
        reading=rng.choice(("close", "drop", "slow")) if stream and _maybe(rng, 0.2) else "all",
        events=rng.choice((0, 1, 4, 8, 30)),
    )


def _options(rng: Random, groups: Sequence[str], settings: dict[str, Any], operation: str) -> dict[str, Any]:
    choices: dict[str, tuple[float, Sequence[Any]]] = {
        "timeout": (0.3, (0.5, 3.0, 10.0, 45.0)),
        "attempt_timeout": (0.1, (0.5, 3.0)),
        "num_retries": (0.1, (0, 1, 4)),
        "allowed_model_region": (0.12, ("eu", "us", ["uksouth", "eastus"], "us-east")),
    }
    if operation == "create":
        choices |= {
            "fallbacks": (0.08, ([], list(groups))),
            "session_id": (0.3, ("s0", "s1", "s2")),
            "max_output_tokens": (0.2, (10, 500)),
        }
        if settings.get("enable_tag_filtering"):
            choices["tags"] = (0.4, tuple([tag] for tag in _TAGS))
    return {name: rng.choice(values) for name, (chance, values) in choices.items() if _maybe(rng, chance)}


# --- changes


def _changes(rng: Random, places: Sequence[Place], absent: Sequence[Place], seconds: float) -> list[Change]:
    groups = sorted({one.group for one in places})
    known = list(places)
    found = [Change(_moment(rng, seconds), "add", (place,)) for place in absent if _maybe(rng, 0.7)]
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        place = rng.choice(known)
        kind = rng.choice(("delete", "delete", "upsert", "upsert", "upsert", "replace"))
        if kind == "delete":
            found.append(Change(_moment(rng, seconds), "delete", id=place.id))
            if _maybe(rng, 0.5):
                found.append(Change(_moment(rng, seconds), "upsert", (place,)))
        elif kind == "upsert":
            found.append(Change(_moment(rng, seconds), "upsert", (_altered(rng, place, groups),)))
        else:
            kept = [one for one in (*known, *absent) if _maybe(rng, 0.7)] or [place]
            found.append(Change(_moment(rng, seconds), "replace", tuple(kept)))
    if _maybe(rng, 0.1):
        found.append(Change(_moment(rng, seconds), "close"))
    if _maybe(rng, 0.2):
        found.append(Change(_moment(rng, seconds), "forget", id=rng.choice(places).account))
    return found


def _moment(rng: Random, seconds: float) -> float:
    return round(rng.uniform(0.0, seconds), 3)


def _altered(rng: Random, place: Place, groups: Sequence[str]) -> Place:
    change: dict[str, Any] = rng.choice((
        {"weight": rng.choice((0, 1, 4))},
        {"order": rng.choice((1, 2))},
        {"max_parallel_requests": rng.choice((1, 2, None))},
        {"rpm": rng.choice((5, 50, None))},
        {"tpm": rng.choice((800, None))},
        {"region_name": rng.choice(tuple(REGIONS))},
        {"model_name": rng.choice(groups)},
    ))  # fmt: skip
    return place.changed(**change)
