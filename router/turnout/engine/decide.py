"""What follows from a failed attempt: one table, and the pauses."""

from dataclasses import dataclass
from random import Random

from turnout.errors import APIError
from turnout.limits.upstream import LONGEST_WORD
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault a failure is, and what may be tried."""

    outcome: Outcome
    """caller: no effect on health. throttle: the deployment rests until its Retry-After, no effect on health.
    deployment: counts against its circuit breaker. provider: so, and this call avoids the provider."""
    retry: bool
    """Another attempt may help."""
    same: bool
    """Another attempt on the same deployment may help."""
    fallback: bool
    """Another model group may help."""


_CALLER = Verdict("caller", retry=False, same=False, fallback=False)
_CALLER_ELSEWHERE = Verdict("caller", retry=False, same=False, fallback=True)
_OTHER_PROVIDER = Verdict("caller", retry=True, same=False, fallback=True)
_THROTTLE = Verdict("throttle", retry=True, same=True, fallback=True)
_EXHAUSTED = Verdict("throttle", retry=True, same=False, fallback=True)
_MISCONFIGURED = Verdict("deployment", retry=True, same=False, fallback=True)
_BROKEN = Verdict("deployment", retry=True, same=True, fallback=True)
_PROVIDER = Verdict("provider", retry=True, same=True, fallback=True)

VERDICTS: dict[Kind, Verdict] = {
    Kind.BAD_REQUEST: _CALLER,
    Kind.NOT_FOUND: _CALLER,
    Kind.UNSUPPORTED: _OTHER_PROVIDER,
    Kind.CONTEXT_WINDOW: _CALLER_ELSEWHERE,
    Kind.CONTENT_POLICY: _CALLER_ELSEWHERE,
    Kind.RATE_LIMIT: _THROTTLE,
    Kind.QUOTA: _EXHAUSTED,
    Kind.AUTHENTICATION: _MISCONFIGURED,
    Kind.PERMISSION: _MISCONFIGURED,
    Kind.DEPLOYMENT_NOT_FOUND: _MISCONFIGURED,
    Kind.INTERNAL: _BROKEN,
    Kind.UNAVAILABLE: _BROKEN,
    Kind.TIMEOUT: _BROKEN,
    Kind.CONNECTION: _BROKEN,
    Kind.INVALID_REPLY: _BROKEN,
    Kind.OVERLOADED: _PROVIDER,
}

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


def verdict(error: APIError) -> Verdict:
    """What this failure means."""
    return VERDICTS[error.kind or Kind.INTERNAL]


def pause_before_same(failures: int, retry_after: float | None, least: float, rng: Random) -> float:
    """Seconds before this call may use a deployment again that has just failed it `failures` times.

    Exponential from 0.25 s to 5 s with equal jitter, or the provider's Retry-After (an hour at most) if that is longer.
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    return max(longest / 2 + rng.random() * longest / 2, min(retry_after or 0.0, LONGEST_WORD), least)
