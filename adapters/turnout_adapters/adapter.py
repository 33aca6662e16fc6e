"""What a provider adapter is: pure functions between Responses objects and a wire's bytes. No I/O here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from turnout_adapters.errors import APIError
from turnout_adapters.types import Result, StreamEvent

Operation = Literal["create", "retrieve", "delete", "cancel", "input_items", "compact", "input_tokens"]

TokenProvider = Callable[[], str]
"""Called once per request, so that an expiring token can be renewed by its owner."""


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Where a deployment is and how it lets us in. Immutable; its repr shows no credential."""

    provider: str
    base_url: str
    """Scheme, host and path up to and without the operation's own path, e.g. https://x.openai.azure.com/openai/v1."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request, credentials included unless `token_provider` is set."""
    query: str = ""
    """Appended to every URL, without the question mark, e.g. api-version=2025-04-01-preview."""
    token_provider: TokenProvider | None = None

    def __repr__(self) -> str:
        return f"Target({self.provider!r}, {self.base_url!r})"


@dataclass(frozen=True, slots=True, repr=False)
class HTTPRequest:
    """One request, ready to send. Its repr shows no header, hence no credential."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"HTTPRequest({self.method} {self.url}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """A complete answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class WireCall:
    """One operation as the wire sees it: the upstream model, ids unwrapped, the body as the caller gave it."""

    operation: Operation
    model: str = ""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON body of create, compact and input_tokens; query parameters of retrieve and input_items."""
    response_id: str | None = None
    """The provider's own id, for retrieve, delete, cancel and input_items."""
    stream: bool = False
    extra_headers: Mapping[str, str] = field(default_factory=dict[str, str])


class StreamDecoder(Protocol):
    """Turns the bytes of one stream into events."""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes, in order. Raises InvalidReplyError on malformed input."""
        ...

    def close(self) -> list[StreamEvent]:
        """Called at the end of the bytes. Raises APIConnectionError if the stream has no terminal event."""
        ...


class Adapter(Protocol):
    """One wire: four pure functions."""

    wire: str

    def request(self, call: WireCall, target: Target) -> HTTPRequest: ...

    def response(self, call: WireCall, reply: HTTPReply) -> Result: ...

    def decoder(self, call: WireCall) -> StreamDecoder: ...

    def error(self, reply: HTTPReply, provider: str, now: float) -> APIError:
        """The typed error of a refused request. `now` is Unix time in seconds, for a Retry-After that is a date."""
        ...
