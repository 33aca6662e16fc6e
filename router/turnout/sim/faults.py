"""The ways in which a fake region can misbehave."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal["black_hole", "status", "cut", "error_event", "malformed", "drip"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a region does to requests instead of answering them properly.

    black_hole: takes the request and never answers. status: answers `status` with `body` and `headers`. cut: closes
    the connection, for streams after `events` events, for others in the middle of the body. error_event: an `error`
    event inside the 200 stream after `events` events. malformed: an event that is not JSON after `events` events.
    drip: one byte at a time. `times` is how many requests it hits (None: all), `share` the part of requests, at random.
    """

    kind: FaultKind
    status: int = 500
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] | Callable[[], Mapping[str, str]] = field(default_factory=dict[str, str])
    events: int = 0
    reset: bool = False
    """cut: with a TCP reset rather than an orderly end."""
    then_failed: bool = False
    """error_event: followed by response.failed."""
    times: int | None = None
    share: float = 1.0
    retry_after: float | None = None
    """status: seconds, for a provider that says it in the body of its refusal."""


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, object]:
    """An error body in OpenAI's published shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def outage(status: int = 500) -> Fault:
    """Every request fails with this status."""
    return Fault("status", status, error_body("The server had an error", "server_error", "server_error"))


def throttle(headers: Mapping[str, str] | Callable[[], Mapping[str, str]], times: int | None = None) -> Fault:
    """429 with these headers."""
    body = error_body("Rate limit reached", "requests", "rate_limit_exceeded")
    return Fault("status", 429, body, headers, times=times)
