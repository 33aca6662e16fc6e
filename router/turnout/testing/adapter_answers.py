"""Rules for what an adapter makes of answers, streams and refusals."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from turnout.errors import (
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
)
from turnout.testing.exchanges import REQUEST_ID, Line, pieces_of, without_ids
from turnout.testing.grammar import TERMINAL, check_grammar
from turnout.testing.rules import need
from turnout_adapters.types import StreamEvent

_SIZES = (1, 7, 100, 64 * 1024)
_CUTS = 40
_HTML = b"<html><body>Bad gateway</body></html>"
_STATUSES: tuple[tuple[int, type[APIError]], ...] = (
    (400, BadRequestError),
    (401, AuthenticationError),
    (403, PermissionDeniedError),
    (404, NotFoundError),
    (429, RateLimitError),
    (500, InternalServerError),
    (502, InternalServerError),
    (503, ServiceUnavailableError),
    (504, APITimeoutError),
)


def reads_a_complete_answer(line: Line) -> None:
    """A Response with the text, completed, with the provider's request id; nothing is left to be asked."""
    response, reply = line.answer(), line.exchange.reply(line.exchange.answer)
    need(response.output_text == line.exchange.text, f"the text is {response.output_text!r}")
    need(response.status == "completed", f"the status is {response.status!r}")
    need(response.request_id == REQUEST_ID, f"the request id is {response.request_id!r}")
    need(line.adapter.follow(line.call(), line.target, reply) is None, "there is something to follow a whole answer")


def answer_and_stream_agree(line: Line) -> None:
    """The last event of the stream holds the response that the complete answer is, ids and times aside."""
    whole, streamed = without_ids(_dumped(line.answer())), without_ids(_final(_stream(line)))
    for name in sorted({*whole, *streamed}):
        one, other = whole.get(name), streamed.get(name)
        need(one == other, f"{name}: complete it is {one!r}, streamed {other!r}")


def streams_keep_the_grammar(line: Line) -> None:
    """Created, items with their parts and deltas, one terminal event; numbers without gaps, pieces that add up."""
    check_grammar([_dumped(event) for event in _stream(line)])


def pieces_make_no_difference(line: Line) -> None:
    """However the network cuts the bytes, the events are the same."""
    raw = line.exchange.stream
    whole = [_dumped(event) for event in line.events([raw])]
    for size in _SIZES:
        try:
            found = [_dumped(event) for event in line.events(pieces_of(raw, size))]
        except APIError as error:
            raise AssertionError(f"in pieces of {size} bytes the stream raises {error!r}") from error
        need(found == whole, f"in pieces of {size} bytes the stream has other events than in one piece")


def streams_do_not_mix(line: Line) -> None:
    """Two streams that are read at the same time know nothing of each other."""
    pieces = pieces_of(line.exchange.stream, 50)
    alone = [_dumped(event) for event in line.events(pieces)]
    decoders = [line.adapter.decoder(line.call(stream=True)) for _ in range(2)]
    events: list[list[StreamEvent]] = [[], []]
    for piece in pieces:
        for decoder, found in zip(decoders, events, strict=True):
            found.extend(decoder.feed(piece))
    for decoder, found in zip(decoders, events, strict=True):
        found.extend(decoder.close())
        need([_dumped(event) for event in found] == alone, "a stream has other events while another one is read")


def a_cut_stream_is_no_success(line: Line) -> None:
    """A stream that ends early is an APIError, unless all of the text was there."""
    raw = line.exchange.stream
    for length in sorted({len(raw) * step // _CUTS for step in range(_CUTS)}):
        try:
            events = line.events([raw[:length]])
        except APIError:
            continue
        except Exception as error:
            text = f"cut after {length} of {len(raw)} bytes it raises {type(error).__name__}: {error}"
            raise AssertionError(f"{text}; raise APIConnectionError or InvalidReplyError") from error
        need(events and events[-1].type in TERMINAL, f"cut after {length} of {len(raw)} bytes it just ends")
        told = _final(events)
        whole = _text_of(told) == line.exchange.text or told["status"] != "completed"
        need(whole, f"cut after {length} of {len(raw)} bytes it is completed, with half of the text")


def what_is_no_answer_is_an_error(line: Line) -> None:
    """An answer or a stream that is not what the wire promises is an APIError, never a ValueError or a KeyError."""
    for body in (b"", _HTML, b"null", b"[]", b"{", b'"text"', line.exchange.answer[:-2]):
        try:
            found = line.answer(body)
        except APIError:
            continue
        except Exception as error:
            text = f"the answer {body[:30]!r} raises {type(error).__name__}: {error}; raise InvalidReplyError"
            raise AssertionError(text) from error
        raise AssertionError(f"the answer {body[:30]!r} was taken for a {type(found).__name__}")
    for raw in (b"", _HTML, b"data: {broken\n\n", b"\0" * 64):
        try:
            line.events([raw])
        except APIError:
            continue
        except Exception as error:
            text = f"the stream {raw[:30]!r} raises {type(error).__name__}: {error}; raise InvalidReplyError"
            raise AssertionError(text) from error
        raise AssertionError(f"the stream {raw[:30]!r} was taken for an answer")


def what_is_new_does_no_harm(line: Line) -> None:
    """Fields and events that the provider invents tomorrow change nothing of what is known."""
    answer = from_json(line.exchange.answer)
    if isinstance(answer, dict):
        added = to_json({**answer, "x_turnout_new": {"a": 1}})
        found, known = _dumped(line.answer(added)), _dumped(line.answer())
        changed = [name for name in known if name != "native" and found.get(name) != known[name]]
        need(not changed, f"a new field in the answer changes {', '.join(changed)} of the response")
    unknown = line.exchange.unknown_event
    if unknown is not None:
        after, before = _final(line.events([unknown + line.exchange.stream])), _final(_stream(line))
        changed = [name for name in before if name != "native" and after.get(name) != before[name]]
        need(not changed, f"a new kind of event in the stream changes {', '.join(changed)} of the response")


def refusals_are_typed(line: Line) -> None:
    """The class says what kind of failure it is, whatever the body; status, request id and pause are kept."""
    for status, kind in _STATUSES:
        for body in (b"", _HTML, b"{}", b"[]", b'{"error": null}'):
            error = _refused(line, body, status)
            need(isinstance(error, kind), f"{status} {body[:20]!r} is a {type(error).__name__}, not a {kind.__name__}")
            need(error.status == status, f"the status of a {status} is {error.status}")
            need(error.kind is not None, f"a {status} has no kind, which routing decides on")
            need(error.request_id == REQUEST_ID, f"the request id of a {status} is {error.request_id!r}")
            need(error.retry_after == 7.0, f"of retry-after: 7 a {status} makes {error.retry_after!r}")


def refusals_keep_the_providers_words(line: Line) -> None:
    """The error of a refused request is the caller's, and says what the provider said."""
    exchange = line.exchange
    error = _refused(line, exchange.refusal, 400)
    need(isinstance(error, BadRequestError), f"a refused request is a {type(error).__name__}")
    need(exchange.refused_because in error.message, f"{exchange.refused_because!r} is not in {error.message!r}")
    need(error.body is not None, "the body of the refusal is not kept")


def _refused(line: Line, body: bytes, status: int) -> APIError:
    reply = line.exchange.reply(body, status, retry_after="7")
    try:
        error: Any = line.adapter.error(reply, line.target.provider, 0.0)
    except Exception as raised:
        text = f"reading the refusal {status} {body[:20]!r} raises {type(raised).__name__}: {raised}"
        raise AssertionError(f"{text}; return the error") from raised
    if not isinstance(error, APIError):
        raise AssertionError(f"the error of a {status} is {error!r}, not an APIError")
    return error


def _stream(line: Line) -> list[StreamEvent]:
    return line.events([line.exchange.stream])


def _final(events: Sequence[StreamEvent]) -> dict[str, Any]:
    """The response in the terminal event, which is the last one."""
    ends = [event for event in events if event.type in TERMINAL]
    need(len(ends) == 1 and events[-1] is ends[0], f"there are {len(ends)} terminal events, and one is to be the last")
    return _dumped(ends[0])["response"]


def _text_of(response: dict[str, Any]) -> str:
    parts = [part for item in response["output"] for part in item.get("content") or ()]
    return "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")


def _dumped(value: Any) -> dict[str, Any]:
    return value.model_dump(mode="json")
