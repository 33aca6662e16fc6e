"""How a result was made: the record that whoever made the call attaches to a result or an error.

The adapters only carry it; they never fill it in.
"""

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "caller", "throttle", "deployment", "provider", "cancelled"]
"""What an attempt said about whom: see docs/architecture.md, "Outcomes"."""

Affinity = Literal["none", "pinned", "peer", "replayed", "session", "deployment", "prompt_cache"]
"""none: free choice; pinned: the deployment that made the state; peer: another one on the same account; replayed: on
another account, from the transcript; the others: chosen by the key of its session, its caller or its prompt."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request sent to one deployment."""

    deployment: str
    model_group: str
    outcome: Outcome
    seconds: float
    status: int | None = None
    """HTTP status, None if no answer arrived."""
    error: str | None = None
    """Class name of the error, None on success."""
    request_id: str | None = None
    """The provider's request id, for a support ticket."""
    at: float = 0.0
    """When it was sent, in seconds of the clock that the Router uses: `time.monotonic()`, or a simulation's."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answered, after which attempts, and whether a fallback or an affinity decided it."""

    deployment: str
    model_group: str
    attempts: tuple[Attempt, ...] = ()
    fallback: str | None = None
    """The fallback model group that answered, None if the requested one did."""
    affinity: Affinity = "none"
    waited: float = 0.0
    """Seconds spent waiting for a limit, a Retry-After or a recovery."""
    notes: tuple[str, ...] = field(default=())
    """What a reader of this result should know, one sentence each."""
    hedged: bool = False
    """A second attempt was begun before the first had answered; the one that lost is `cancelled`, or failed."""
