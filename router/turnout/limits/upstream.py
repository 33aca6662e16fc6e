"""What a provider says is left of its own limits, read from the headers of its answers. Pure.

OpenAI and Azure: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the reset as a duration ("6m0s", "12ms").
Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, the reset as a
time (RFC 3339). What cannot be read, or says nothing of when it ends, is ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from turnout.limits.quota import Unit
from turnout_adapters.measures import count, duration, moment

_LONGEST = 86_400.0
"""Seconds; a reset further away is taken to be a day away."""
LONGEST_WORD = 3600.0
"""Seconds for which a provider's word on when to come back is believed; after that a call finds out."""
_OPENAI: tuple[tuple[Unit, str], ...] = (("requests", "requests"), ("tokens", "tokens"))
_ANTHROPIC: tuple[tuple[Unit, str], ...] = (
    ("requests", "requests"), ("tokens", "tokens"), ("input", "input-tokens"), ("output", "output-tokens"),
)  # fmt: skip


@dataclass(slots=True)
class Remaining:
    """So much is left until then (seconds of the monotonic clock). Our own calls are subtracted as they are sent."""

    amount: int
    until: float


def remaining(headers: Mapping[str, str], now: float, unix: float) -> dict[Unit, Remaining]:
    """What the headers of one answer (names in lower case) say is left, by unit; empty if they say nothing.

    `now` is the monotonic time and `unix` that since 1970, both in seconds and of the same moment.
    """
    found: dict[Unit, Remaining] = {}
    if "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
        for unit, name in _OPENAI:
            seconds = duration(headers.get(f"x-ratelimit-reset-{name}"))
            _note(found, unit, headers.get(f"x-ratelimit-remaining-{name}"), seconds, now)
    if "anthropic-ratelimit-requests-remaining" in headers or "anthropic-ratelimit-tokens-remaining" in headers:
        for unit, name in _ANTHROPIC:
            at = moment(headers.get(f"anthropic-ratelimit-{name}-reset"))
            seconds = None if at is None else at - unix
            _note(found, unit, headers.get(f"anthropic-ratelimit-{name}-remaining"), seconds, now)
    return found


def _note(found: dict[Unit, Remaining], unit: Unit, left: str | None, seconds: float | None, now: float) -> None:
    amount = count(left)
    if amount is not None and seconds is not None and seconds > 0:
        found[unit] = Remaining(amount, now + min(seconds, _LONGEST))
