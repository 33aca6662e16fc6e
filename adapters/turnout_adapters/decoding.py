"""What the decoders of all translated wires share: frames in, events out, one end."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from pydantic_core import from_json

from turnout_adapters.adapter import HTTPReply
from turnout_adapters.builder import ResponseBuilder
from turnout_adapters.errors import APIConnectionError, APIError, InvalidReplyError
from turnout_adapters.framing import Framing
from turnout_adapters.measures import count
from turnout_adapters.refusals import request_id_of
from turnout_adapters.sse import SSESplitter
from turnout_adapters.types import Response, StreamEvent, Usage

_NOTHING: Mapping[str, Any] = {}


class Teller(Protocol):
    """One wire's reading of its own frames: tells the builder what they say."""

    def tell(self, name: str | None, fields: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """One frame. Raises APIError for a failure that the frame reports."""
        ...

    def end(self, builder: ResponseBuilder, *, marked: bool = False) -> None:
        """The bytes are at their end; finishes the response if what came is whole.

        `marked`: the stream ended with the end mark of its form ([DONE]).
        """
        ...


class WholeTeller(Teller, Protocol):
    """Reads complete answers too."""

    def whole(self, body: Mapping[str, Any], builder: ResponseBuilder) -> None:
        """A complete answer."""
        ...


class TranslatedDecoder:
    """Bytes of a provider's stream to Responses events."""

    def __init__(self, teller: Teller, builder: ResponseBuilder, framing: Framing | None = None) -> None:
        self._teller = teller
        self._builder = builder
        self._framing: Framing = SSESplitter() if framing is None else framing
        self.failure: APIError | None = None
        """What the provider reported inside the stream, or could not be read; nothing more comes after it."""

    @property
    def usage(self) -> Usage | None:
        """Tokens as far as they are known."""
        return self._builder.usage

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes, in order."""
        if self.failure is None and self._builder.response is None:
            try:
                for name, payload in self._framing.feed(data):
                    self._teller.tell(name, json_object(payload), self._builder)
            except APIError as error:
                self.failure = error
        return self._builder.take()

    def cut(self) -> list[StreamEvent]:
        """Closes the open item as incomplete."""
        self._builder.close(cut=True)
        return self._builder.take()

    def close(self) -> list[StreamEvent]:
        """The end of the bytes. Raises APIConnectionError if the answer is not whole."""
        if self._builder.response is None and self.failure is None and not self._framing.pending:
            try:
                for name, payload in self._framing.rest():
                    self._teller.tell(name, json_object(payload), self._builder)
                self._teller.end(self._builder, marked=self._framing.marked)
            except APIError as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure
        if self._builder.response is None:
            raise APIConnectionError("the stream ended before the answer was complete")
        return self._builder.take()


def json_object(data: bytes) -> Mapping[str, Any]:
    """The JSON object in a frame or body. Raises InvalidReplyError if it is none."""
    try:
        value: object = from_json(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidReplyError(f"not a JSON object: {data[:80]!r}")
    return cast("dict[str, Any]", value)


def body_of(reply: HTTPReply) -> Mapping[str, Any]:
    """A complete answer's JSON object."""
    try:
        return json_object(reply.body)
    except InvalidReplyError as error:
        error.request_id = request_id_of(reply.headers)
        raise


def finished(builder: ResponseBuilder, reply: HTTPReply) -> Response:
    """The response that was built from a complete answer."""
    if builder.response is None:
        raise InvalidReplyError("the answer is not complete", request_id=request_id_of(reply.headers))
    builder.response.about.request_id = request_id_of(reply.headers)
    return builder.response


def parsed(text: str) -> Any:
    """The JSON value of a provider's text; {} if it is none."""
    try:
        return from_json(text)
    except ValueError:
        return {}


def strings(value: object) -> list[str]:
    """The texts of a list of the provider's; [] for anything else."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str)]


def place(value: object) -> int | str | None:
    """What tells the parts of an answer apart, an index or an id; None for anything else."""
    return value if isinstance(value, int | str) else None


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list of the provider's; [] for anything else."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", one) for one in listed if isinstance(one, dict)]


def an_object(value: object) -> Mapping[str, Any]:
    """An object of the provider's; {} for anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else _NOTHING


def the_object(value: object, what: str) -> Mapping[str, Any]:
    """What an answer cannot do without. Raises InvalidReplyError if it is no object."""
    if not isinstance(value, dict):
        raise InvalidReplyError(f"the {what} of the answer is not an object")
    return cast("Mapping[str, Any]", value)


def the_objects(value: object, what: str) -> list[Mapping[str, Any]]:
    """What an answer consists of. Raises InvalidReplyError if it is no list of objects."""
    if not isinstance(value, list):
        raise InvalidReplyError(f"the {what} of the answer is not a list")
    return [the_object(one, what) for one in cast("list[object]", value)]


def said(value: object) -> str:
    """What the model says; "" if nothing. Raises InvalidReplyError if it is no text."""
    if value is not None and not isinstance(value, str):
        raise InvalidReplyError("what the answer says is not a text")
    return value or ""


def number(value: object) -> int:
    """A count of the provider's; 0 for anything else."""
    return count(value) or 0


def counts(value: object) -> list[int]:
    """The whole numbers of a list of the provider's; [] for anything else."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [found for one in listed if (found := count(one)) is not None]


def string(value: object) -> str:
    """A text of the provider's; "" for anything else."""
    return value if isinstance(value, str) else ""
