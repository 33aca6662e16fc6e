"""The line of one attempt: where it goes, what went out on it, and what may not be told of that."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

from turnout.context import Call, acts
from turnout.engine.leases import Lease
from turnout.engine.port import IO
from turnout.errors import BadRequestError, InvalidReplyError, TurnoutError
from turnout_adapters.adapter import Adapter, HTTPRequest, Target, WireCall
from turnout_adapters.striking import SHORTEST, Secrets, in_fields, in_foreign_headers, in_headers, in_query, in_url

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_TOLD = 200
"""Characters of an unexpected exception's own text that are logged: it may quote the answer."""
_NOTHING: Mapping[str, Any] = {}
_NONE = frozenset[int]()


@dataclass(slots=True)
class Line:
    """Where one attempt goes, and what was sent."""

    adapter: Adapter
    target: Target
    call: Call
    lease: Lease
    io: IO
    give_up: float
    sent: list[tuple[str, Sequence[tuple[str, str]]]] = field(
        default_factory=list[tuple[str, Sequence[tuple[str, str]]]]
    )
    """URL and headers of every request: they hold the credentials as they were at the time."""

    @classmethod
    def of(cls, call: Call, lease: Lease, io: IO, timeout: float) -> "Line":
        """The line of an attempt that may take so many seconds. Raises UnsupportedParameterError."""
        adapter, target = lease.deployment.spec.on(call.wire)
        return cls(adapter, target, call, lease, io, io.now() + timeout)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.lease.deployment.spec.provider

    @property
    def left(self) -> float:
        """Seconds until the attempt's timeout."""
        return max(self.give_up - self.io.now(), 0.0)

    # --- reading

    def read(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What a function makes of an answer's bytes: all reading of answers goes through here.

        Whatever it raises that is not ours becomes an InvalidReplyError, which counts against the deployment; the log
        gets the traceback.
        """
        try:
            return function(*args, **named)
        except TurnoutError:
            raise
        except Exception as error:
            name = type(error).__name__
            self._log("an answer could not be read", error)
            text = f"{self.provider}: the answer cannot be read ({name})"
            raise InvalidReplyError(text, provider=self.provider) from error

    def read_or(self, default: T, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """As `read`, for what may be missing: the default instead of an error."""
        try:
            return self.read(function, *args, **named)
        except TurnoutError:
            return default

    def encoded(self, wired: WireCall) -> HTTPRequest:
        """The request. What the encoder cannot make sense of is the caller's: BadRequestError, nothing is sent."""
        try:
            request = self.adapter.request(wired, self.target)
        except TurnoutError:
            raise
        except Exception as error:
            name = type(error).__name__
            self._log("a call could not be written", error)
            text = f"the call cannot be written in the form of {self.provider} ({name})"
            raise BadRequestError(text, provider=self.provider) from error
        self.lease.notes, self.lease.warnings = request.notes, request.warnings
        return replace(request, repeatable=False) if acts(wired.body) or acts(wired.extra_body) else request

    def _log(self, what: str, error: Exception) -> None:
        """The traceback, with neither the chain nor more of the exception's text than its beginning."""
        frames = "".join(traceback.format_tb(error.__traceback__))
        told = "".join(traceback.format_exception_only(error)).strip()[:_LONGEST_TOLD]
        text = self.secrets().strike(f"Traceback (most recent call last):\n{frames}{told}")
        deployment = self.lease.deployment.id
        logging.getLogger("turnout").error("%s: deployment %s, %s\n%s", what, deployment, self.provider, text)

    # --- telling

    def secrets(self) -> Secrets:
        """Every credential of the attempt."""
        return Secrets(self._secrets())

    def _secrets(self) -> Iterator[str]:
        target, call, spec = self.target, self.call, self.lease.deployment.spec
        own = {**spec.extra_headers}
        yield from in_headers((*target.headers, *own.items()))
        yield from in_foreign_headers(call.extra_headers.items())
        yield from in_url(target.base_url)
        yield from in_query(target.query)
        for _, headers in self.sent:
            yield from in_foreign_headers(headers)
        if target.auth is not None:
            yield from target.auth.secrets()
        for fields in (spec.extra_body, call.extra_body, call.body.get("tools"), spec.defaults.get("tools")):
            yield from in_fields(fields)

    def strike(self, error: TurnoutError) -> None:
        """Strikes every credential out of what an error tells."""
        self.secrets().strike_error(error)

    def told(self, request_id: str | None) -> str | None:
        """The request id of a good answer: looked at closely only if the end of something that was sent is in it."""
        if request_id is None or len(request_id) < SHORTEST:
            return request_id
        for _, headers in self.sent:
            for _, value in headers:
                if len(value) >= SHORTEST and value[-SHORTEST:] in request_id:
                    return self.secrets().strike(request_id)
        return request_id


def wire_call(call: Call, lease: Lease, io: IO) -> WireCall:
    """The call as the wire sees it: deployment defaults under the caller's body, the upstream model's name."""
    spec = lease.deployment.spec
    body = call.body
    makes = call.operation in ("create", "compact", "input_tokens")
    translated = spec.adapter.wire != "openai-responses" or call.wire is not None
    if makes and spec.defaults:
        body = {**spec.defaults, **body}
    if translated and call.draft is not None and "store" in body:
        body = {name: value for name, value in body.items() if name != "store"}
    headers = {**spec.extra_headers, **call.extra_headers} if spec.extra_headers else call.extra_headers
    foreign = (
        frozenset(index for index, domain in call.owners.items() if domain != spec.domain) if call.owners else _NONE
    )
    extra_body = call.extra_body if makes else _NOTHING
    if makes and spec.extra_body:
        extra_body = {**spec.extra_body, **extra_body}
    return WireCall(
        call.operation,
        lease.upstream_model,
        body,
        call.response_id,
        call.stream,
        headers,
        extra_body=extra_body,
        drop_params=bool(spec.drop_params if call.drop_params is None else call.drop_params),
        now=io.unix() if translated else 0.0,
        nonce=io.nonce()[:24] if translated else "",
        foreign=foreign,
    )
