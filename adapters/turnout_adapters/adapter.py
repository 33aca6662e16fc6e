"""What a provider adapter is: pure functions between Responses objects and a wire's bytes. No I/O here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from turnout_adapters.errors import APIError
from turnout_adapters.types import Result, StreamEvent, Usage

Operation = Literal["create", "retrieve", "delete", "cancel", "input_items", "compact", "input_tokens"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


Fetch = Callable[["HTTPRequest"], "HTTPReply"]
"""Sends one request and waits for the whole answer, blocking. Raises APIConnectionError or APITimeoutError."""


class Auth(Protocol):
    """Credentials that expire, or that sign each request. One object per deployment; used from many threads."""

    def ready(self, now: float) -> bool:
        """True if `apply` needs no `refresh` first. `now` is Unix time in seconds."""
        ...

    def refresh(self, fetch: Fetch, now: float) -> None:
        """Gets fresh credentials; may block, so it is never called on an event loop. Raises AuthenticationError."""
        ...

    def apply(self, request: "HTTPRequest") -> "HTTPRequest":
        """The request with its credentials. Waits for nothing."""
        ...

    def forget(self) -> None:
        """The provider refused them: the next call gets fresh ones."""
        ...

    def secrets(self) -> Iterable[str]:
        """The credentials in hand, to be struck out of what is told."""
        ...


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
    auth: Auth | None = None
    body: tuple[tuple[str, Any], ...] = ()
    """Fields that every request's body carries, such as watsonx's project."""

    def __repr__(self) -> str:
        return f"Target({self.provider!r}, {self.base_url!r})"


@dataclass(frozen=True, slots=True, repr=False)
class HTTPRequest:
    """One request, ready to send. Its repr shows no header, hence no credential."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    warnings: tuple[str, ...] = ()
    """For `response.warnings`: parameters that were left out or only nearly honoured."""
    notes: tuple[str, ...] = ()
    """For `response.route.notes`: what of the conversation could not come along."""
    repeatable: bool = True
    """It may go out again on a new connection if the one that was kept turns out to be dead."""

    def __repr__(self) -> str:
        return f"HTTPRequest({self.method} {self.url}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """A complete answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Follow(NamedTuple):
    """What must be asked next, before the answer is whole."""

    request: HTTPRequest
    pause: float = 0.0
    """Seconds to wait first."""


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
    extra_headers: Mapping[str, str] = field(default_factory=_nothing)
    extra_body: Mapping[str, Any] = field(default_factory=_nothing)
    """Fields of the wire's own body, sent as they are, over what the encoder made."""
    drop_params: bool = False
    """Leave out, with a warning, what the provider cannot honour; never content."""
    now: float = 0.0
    """Unix time in seconds, for `created_at` where the provider tells none."""
    nonce: str = ""
    """Hexadecimal; the ids of a translated response are made from it."""
    foreign: frozenset[int] = frozenset()
    """Indexes of input items (reasoning, compaction) that only another account can read."""


class StreamDecoder(Protocol):
    """Turns the bytes of one stream into events."""

    @property
    def failure(self) -> APIError | None:
        """What the provider reported inside the stream in a form that is no event; nothing comes after it."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Tokens used, as far as is known before the last event."""
        ...

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes, in order. Raises InvalidReplyError on malformed input."""
        ...

    def cut(self) -> list[StreamEvent]:
        """The stream broke: the events that close what is open, if they are this decoder's to make."""
        ...

    def close(self) -> list[StreamEvent]:
        """Called at the end of the bytes. Raises APIConnectionError if the stream has no terminal event."""
        ...


class Adapter(Protocol):
    """One wire: pure functions."""

    wire: str
    two_steps: bool
    """True if a stream is asked for first and read elsewhere: see `follow`."""

    def request(self, call: WireCall, target: Target) -> HTTPRequest: ...

    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> Follow | None:
        """What to ask after this answer; None if it is the whole one. Of a stream: where to read it."""
        ...

    def response(self, call: WireCall, reply: HTTPReply) -> Result: ...

    def decoder(self, call: WireCall) -> StreamDecoder: ...

    def error(self, reply: HTTPReply, provider: str, now: float) -> APIError:
        """The typed error of a refused request. `now` is Unix time in seconds, for a Retry-After that is a date."""
        ...
