"""A provider's answers as the rules for adapters need them, and an adapter set up to be asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from turnout.testing.rules import API_KEY
from turnout_adapters.adapter import Adapter, HTTPReply, HTTPRequest, Target, WireCall
from turnout_adapters.provider import Provider
from turnout_adapters.registry import adapter_for, choose_wire, place_of
from turnout_adapters.types import StreamEvent

QUESTION = "Where is Zürich? ✓"
REQUEST_ID = "req_of_the_kit"
_EVENT = b'event: x_turnout_new\ndata: {"type": "x_turnout_new", "x_turnout_new": 1}\n\n'
_NOW = 1_790_000_000.0


@dataclass(frozen=True)
class Exchange:
    """What a provider says to one question, as its documentation or a recording has it.

    Args:
        answer: the body of a complete answer.
        stream: the bytes of a stream that says the same.
        text: the text in both (`response.output_text`).
        refusal: the body of a request that is refused with status 400.
        refused_because: words of the refusal that a user should read in the error.
        model: the provider's name of the model.
        unknown_event: a frame of a kind that the provider has not invented yet, in front of a stream; None if its
            streams have no frames.
        request_id_header: where the provider puts its request id.
    """

    answer: bytes
    stream: bytes
    text: str
    refusal: bytes = b'{"error": {"message": "the question is refused"}}'
    refused_because: str = "the question is refused"
    model: str = "a-model"
    unknown_event: bytes | None = _EVENT
    request_id_header: str = "x-request-id"

    def reply(self, body: bytes, status: int = 200, **headers: str) -> HTTPReply:
        """A body as it comes over the network; underscores in names of headers stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return HTTPReply(status, {self.request_id_header: REQUEST_ID, **named}, body)


@dataclass(frozen=True)
class Line:
    """An adapter, where it sends its requests, and what it is answered there."""

    adapter: Adapter
    target: Target
    exchange: Exchange

    def call(self, *, stream: bool = False, drop_params: bool = False, **body: Any) -> WireCall:
        """One question; always the same, so that ids made of it are the same too."""
        given = {"input": QUESTION, **body}
        return WireCall(
            "create", self.exchange.model, given, stream=stream, drop_params=drop_params, now=_NOW, nonce="0" * 24
        )

    def request(self, *, stream: bool = False, drop_params: bool = False, **body: Any) -> HTTPRequest:
        """The request of that question."""
        return self.adapter.request(self.call(stream=stream, drop_params=drop_params, **body), self.target)

    def answer(self, body: bytes | None = None) -> Any:
        """The complete answer, decoded."""
        reply = self.exchange.reply(self.exchange.answer if body is None else body)
        return self.adapter.response(self.call(), reply)

    def events(self, pieces: Sequence[bytes]) -> list[StreamEvent]:
        """The events of a stream that comes in these pieces. Raises what the decoder raises or reports."""
        decoder = self.adapter.decoder(self.call(stream=True))
        events = [event for piece in pieces for event in decoder.feed(piece)]
        if decoder.failure is not None:
            raise decoder.failure
        return events + decoder.close()


def line_to(subject: Adapter | Provider, exchange: Exchange, *, wire: str | None = None, **params: Any) -> Line:
    """An adapter, or a provider's row, set up for the rules.

    A row is reached through its own address and `params`, the litellm_params that it needs besides `api_key` (None: it
    has none). Raises ConfigError if the row cannot be reached so.
    """
    if not isinstance(subject, Provider):
        headers = (("authorization", f"Bearer {API_KEY}"),)
        return Line(subject, Target("the kit", "https://kit.example/v1", headers), exchange)
    asked = {"api_key": API_KEY, **params, "wire": wire}
    given = {name: value for name, value in asked.items() if value is not None}
    chosen, _ = choose_wire(subject, exchange.model, given)
    place = place_of(subject, given, None, {}, exchange.model, chosen)
    return Line(adapter_for(subject, chosen), place.target, exchange)


def pieces_of(raw: bytes, size: int) -> list[bytes]:
    """Bytes in pieces of a size."""
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def texts_in(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [one for _, one in _items(value)] if isinstance(value, dict) else _listed(value):
            yield from texts_in(inner)


def without_ids(value: Any) -> Any:
    """A JSON value without what differs between two answers that say the same."""
    if isinstance(value, dict):
        return {name: without_ids(inner) for name, inner in _items(value) if name not in _OWN}
    return [without_ids(one) for one in _listed(value)] if isinstance(value, list) else value


_OWN = frozenset({"id", "created_at", "completed_at"})


def _listed(value: Any) -> Sequence[Any]:
    return value


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items())
