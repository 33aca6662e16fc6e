"""What providers' answers say of their limits: one function for each manner. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate

from turnout.sim.buckets import Left


@dataclass(frozen=True, slots=True)
class Limited:
    """What there is to tell."""

    limits: Sequence[Left] = ()
    retry_after: float | None = None
    """Seconds until it is worth trying again; None if the request was not throttled."""
    clock: float = 0.0
    """Seconds since 1970 by the region's own clock."""
    skew: float = 0.0
    """Seconds by which that clock is fast."""


LimitHeaders = Callable[[Limited], Mapping[str, str]]


def openai(told: Limited) -> dict[str, str]:
    """OpenAI and Azure: `x-ratelimit-*`, resets as durations, and Retry-After in seconds and milliseconds.

    A region whose clock is wrong says Retry-After as a date, where that can do harm.
    """
    found: dict[str, str] = {}
    if told.retry_after is not None and told.skew:
        found["retry-after"] = formatdate(told.clock + told.retry_after + 1, usegmt=True)
    elif told.retry_after is not None:
        found["retry-after-ms"] = str(int(told.retry_after * 1000) + 1)
        found["retry-after"] = str(int(told.retry_after) + 1)
    for left in told.limits:
        found[f"x-ratelimit-limit-{left.name}"] = str(left.limit)
        found[f"x-ratelimit-remaining-{left.name}"] = str(left.remaining)
        found[f"x-ratelimit-reset-{left.name}"] = f"{left.seconds:.3f}s"
    return found


def provisioned(told: Limited) -> dict[str, str]:
    """Azure's provisioned throughput: when to come back in milliseconds, and nothing of what is left."""
    return {} if told.retry_after is None else {"retry-after-ms": str(int(told.retry_after * 1000) + 1)}


def anthropic(told: Limited) -> dict[str, str]:
    """Anthropic: `anthropic-ratelimit-*`, resets as times of its own clock (RFC 3339), Retry-After in seconds."""
    found: dict[str, str] = {}
    if told.retry_after is not None:
        found["retry-after"] = str(int(told.retry_after) + 1)
    for left in told.limits:
        when = datetime.fromtimestamp(told.clock + left.seconds, UTC)
        found[f"anthropic-ratelimit-{left.name}-limit"] = str(left.limit)
        found[f"anthropic-ratelimit-{left.name}-remaining"] = str(left.remaining)
        found[f"anthropic-ratelimit-{left.name}-reset"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found
