"""Whether conversations are kept, where, and what happens to one whose account is not available."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from turnout.config import check
from turnout.policies import PIN_STEPS, PinStep, TranscriptPolicy
from turnout_adapters.registry import nearest

_METHODS = ("read", "write", "touch", "swap", "erase", "close")
_POLICY = tuple(one.name for one in fields(TranscriptPolicy))
_OPTIONS = ("store", *_POLICY)
_STORES = ("memory", "redis")
_URLS = ("sqlite:", "postgresql:", "postgresql+psycopg:", "postgres:")


@dataclass(frozen=True, slots=True, repr=False)
class TranscriptSettings:
    """Where turns are kept, and the policy."""

    policy: TranscriptPolicy
    store: Any = None
    """None: Redis if the Router has one, else memory. "memory", "redis", a URL, or a TurnStore."""

    def __repr__(self) -> str:
        return f"TranscriptSettings({self.policy!r})"


def transcript_settings(found: Mapping[str, Any], secrets: tuple[str, ...]) -> TranscriptSettings | None:
    """`transcripts`: True, False, a store, or a mapping of options. None where none are kept."""
    given = found.get("transcripts")
    if given is False:
        return None
    if given is None:
        return TranscriptSettings(TranscriptPolicy())
    options: dict[str, Any] = {"every": True}
    if isinstance(given, Mapping):
        options |= check.mapping(cast("object", given), "transcripts")
    elif given is not True:
        options["store"] = given
    for name in options:
        if name not in _OPTIONS:
            raise check.fail(f"transcripts.{name}", f"unknown; {nearest(name, _OPTIONS)}")
    policy = _policy(options)
    if policy.encrypt and not secrets:
        raise check.fail("transcripts.encrypt", "needs a secret that outlives the process: set id_secret")
    return TranscriptSettings(policy, _store(options.get("store")))


def _policy(options: Mapping[str, Any]) -> TranscriptPolicy:
    default = TranscriptPolicy()
    return TranscriptPolicy(
        every=check.flag(options["every"], "transcripts.every"),
        ttl=check.number(options.get("ttl", default.ttl), "transcripts.ttl", positive=True),
        max_bytes=check.whole(options.get("max_bytes", default.max_bytes), "transcripts.max_bytes", 1),
        max_turn_bytes=check.whole(
            options.get("max_turn_bytes", default.max_turn_bytes), "transcripts.max_turn_bytes", 1
        ),
        encrypt=check.flag(options.get("encrypt", default.encrypt), "transcripts.encrypt"),
    )


def _store(given: object) -> Any:
    if given is None or given in _STORES or (isinstance(given, str) and given.startswith(_URLS)):
        return given
    if isinstance(given, str):
        scheme = given.partition(":")[0][:32] if ":" in given else given[:32]
        raise check.fail(
            "transcripts.store",
            f"must be 'memory', 'redis' (with redis_url), 'sqlite:///FILE', 'postgresql://...' or an object with the "
            f"methods of turnout.protocols.TurnStore, got {scheme!r}",
        )
    for method in _METHODS:
        if not callable(getattr(given, method, None)):
            raise check.fail("transcripts.store", f"must have a method {method}, got {check.shown(given)}")
    return given


def pin_steps(found: Mapping[str, Any]) -> tuple[PinStep, ...]:
    """`on_pin_unavailable`: what is tried, in this order."""
    if "on_pin_unavailable" not in found:
        return PIN_STEPS
    where = "on_pin_unavailable"
    steps = check.texts(found[where], where)
    for index, step in enumerate(steps):
        if step not in PIN_STEPS:
            raise check.fail(f"{where}[{index}]", f"unknown step {step!r}; {nearest(step, PIN_STEPS)}")
        if step in steps[:index]:
            raise check.fail(f"{where}[{index}]", f"{step!r} is listed twice")
    if "peer" in steps[1:]:
        raise check.fail(where, "'peer' costs the caller nothing and comes first, or not at all")
    if "fail" in steps[:-1]:
        raise check.fail(where, "nothing is tried after 'fail'; put it last, or leave it out")
    return cast("tuple[PinStep, ...]", steps)
