"""Each rule for adapters catches an adapter that breaks it. Ours: `test_adapters.py`."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.router.testing.exchanges import exchange_on
from turnout import BadRequestError, InternalServerError, Provider
from turnout.testing import ADAPTER_RULES, Exchange, check_adapter, line_to
from turnout.testing.rules import check_all
from turnout_adapters.adapter import HTTPReply, HTTPRequest, Target, WireCall
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.types import StreamEvent
from turnout_adapters.wires.chat import ChatWire

EXCHANGE = exchange_on("groq", "openai-chat")
GROQ = PROVIDERS["groq"]


def with_body(request: HTTPRequest, **changes: Any) -> HTTPRequest:
    return replace(request, body=json.dumps({**json.loads(request.body), **changes}).encode())


def without(request: HTTPRequest, *names: str) -> HTTPRequest:
    kept = {name: value for name, value in json.loads(request.body).items() if name not in names}
    return replace(request, body=json.dumps(kept).encode())


class Right(ChatWire):
    def __init__(self) -> None:
        super().__init__(GROQ.name, GROQ.dialect)


# --- requests


class SendsForms(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return replace(super().request(call, target), body=b"model=m&input=hello")


class SendsText(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        request = super().request(call, target)
        return replace(request, body=request.body.decode())


class DropsAccents(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        request = super().request(call, target)
        return replace(request, body=request.body.decode().encode("ascii", "ignore"))


class GoesElsewhere(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return super().request(call, replace(target, base_url="https://elsewhere.example"))


class ShoutsHeaders(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        request = super().request(call, target)
        return replace(request, headers=[*request.headers, ("X-Client", "kit")])


class ForgetsTheModel(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return with_body(super().request(call, target), model="default")


class KeyInTheUrl(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        request = super().request(call, target)
        return replace(request, url=f"{request.url}?key={dict(target.headers)['authorization'][7:]}")


class KeyInTheBody(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return with_body(super().request(call, target), key=dict(target.headers)["authorization"])


class ForgetsHeaders(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return super().request(call, replace(target, headers=()))


class KnowsNoTokens(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return super().request(call, replace(target, token_provider=None))


class IgnoresExtraBody(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return super().request(replace(call, extra_body={}), target)


class IgnoresExtraHeaders(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return super().request(replace(call, extra_headers={}), target)


class IgnoresTemperature(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return without(super().request(call, target), "temperature")


class RefusesWithoutAName(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        if "top_p" in call.body:
            raise BadRequestError("not like this")
        return super().request(call, target)


class DropsWithoutAWord(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        return replace(super().request(call, target), warnings=())


class RetrievesAnything(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        if call.operation == "retrieve":
            return HTTPRequest("GET", f"{target.base_url}/responses/{call.response_id}", [])
        return super().request(call, target)


class WritesAnything(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        extra = json.loads(json.dumps(call.extra_body, default=str))
        return super().request(replace(call, extra_body=extra), target)


class CountsRequests(Right):
    count = 0

    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        self.count += 1
        return with_body(super().request(call, target), n=self.count)


class TakesTheInputOut(Right):
    def request(self, call: WireCall, target: Target) -> HTTPRequest:
        request = super().request(call, target)
        call.body.pop("metadata", None)
        return request


# --- answers


class ForgetsTheRequestId(Right):
    def response(self, call: WireCall, reply: HTTPReply) -> Any:
        return super().response(call, replace(reply, headers={}))


class AsksOn(Right):
    def follow(self, call: WireCall, target: Target, reply: HTTPReply) -> Any:
        return self.request(call, target)


class CountsNoTokensInAStream(Right):
    def decoder(self, call: WireCall) -> Any:
        return Changed(super().decoder(call), lambda data: data.replace(b'"usage"', b'"used"'))


class Changed:
    """A decoder that is given other bytes, or whose events are other ones."""

    usage = None

    def __init__(
        self,
        inner: Any,
        change: Callable[[bytes], bytes] = lambda data: data,
        shown: Callable[[list[StreamEvent]], list[StreamEvent]] = lambda events: events,
    ) -> None:
        self.inner, self.change, self.shown = inner, change, shown

    @property
    def failure(self) -> Any:
        return self.inner.failure

    def feed(self, data: bytes) -> list[StreamEvent]:
        return self.shown(self.inner.feed(self.change(data)))

    def close(self) -> list[StreamEvent]:
        return self.shown(self.inner.close())

    def cut(self) -> list[StreamEvent]:
        return self.inner.cut()


class LeavesOutTheParts(Right):
    def decoder(self, call: WireCall) -> Any:
        def shown(events: list[StreamEvent]) -> list[StreamEvent]:
            return [event for event in events if event.type != "response.content_part.added"]

        return Changed(super().decoder(call), shown=shown)


class EndsTwice(Right):
    def decoder(self, call: WireCall) -> Any:
        def shown(events: list[StreamEvent]) -> list[StreamEvent]:
            return [one for event in events for one in [event] * (1 + (event.type == "response.completed"))]

        return Changed(super().decoder(call), shown=shown)


class ReadsPiecesAsLines(Right):
    """Takes each piece of the network for whole events."""

    def decoder(self, call: WireCall) -> Any:
        return Changed(super().decoder(call), lambda data: data if data.endswith(b"\n\n") else data + b"\n\n")


class SharesOneDecoder(Right):
    first: Any = None
    left = 2

    def decoder(self, call: WireCall) -> Any:
        """One for each two calls."""
        self.left -= 1
        if self.first is None or self.left < 0:
            self.first, self.left = super().decoder(call), 1
        return self.first


class EndsQuietly(Right):
    def decoder(self, call: WireCall) -> Any:
        inner = super().decoder(call)
        decoder = Changed(inner)
        decoder.close = list
        return decoder


class TakesTheEndForAnEnd(Right):
    """Whatever came until the bytes ended was the answer."""

    def decoder(self, call: WireCall) -> Any:
        inner = super().decoder(call)
        decoder = Changed(inner)

        def close() -> list[StreamEvent]:
            return (
                inner.feed(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n')
                + inner.close()
            )

        decoder.close = close
        return decoder


class RaisesValueErrors(Right):
    def response(self, call: WireCall, reply: HTTPReply) -> Any:
        json.loads(reply.body)["choices"]
        return super().response(call, reply)


class TakesAnythingForAnAnswer(Right):
    def response(self, call: WireCall, reply: HTTPReply) -> Any:
        body = reply.body if reply.body.startswith(b'{"id') and reply.body.endswith(b"}") else EXCHANGE.answer
        return super().response(call, replace(reply, body=body))


class RaisesKeyErrorsInStreams(Right):
    def decoder(self, call: WireCall) -> Any:
        def change(data: bytes) -> bytes:
            for line in data.splitlines():
                if line.startswith(b"data: {"):
                    json.loads(line[6:])
            return data

        return Changed(super().decoder(call), change)


class KnowsAllFields(Right):
    def response(self, call: WireCall, reply: HTTPReply) -> Any:
        if "x_turnout_new" in json.loads(reply.body):
            raise BadRequestError("an unknown field")
        return super().response(call, reply)


class KnowsAllEvents(Right):
    def decoder(self, call: WireCall) -> Any:
        def change(data: bytes) -> bytes:
            assert b"x_turnout_new" not in data, "an unknown event"
            return data

        return Changed(super().decoder(call), change)


class RaisesInsteadOfReturning(Right):
    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        json.loads(reply.body)
        return super().error(reply, provider, now)


class TakesAllForServerErrors(Right):
    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        found = super().error(reply, provider, now)
        return InternalServerError(found.message, status=found.status)


class ForgetsThePause(Right):
    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        found = super().error(reply, provider, now)
        found.retry_after = None
        return found


class ReturnsAString(Right):
    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        return f"error {reply.status}"


class SaysInItsOwnWords(Right):
    def error(self, reply: HTTPReply, provider: str, now: float) -> Any:
        found = super().error(reply, provider, now)
        found.message = "something went wrong"
        return found


MUTANTS: dict[str, tuple[type[Right], ...]] = {
    "asks_in_json": (SendsForms, SendsText, DropsAccents, GoesElsewhere, ShoutsHeaders),
    "names_the_model": (ForgetsTheModel,),
    "keeps_credentials_in_headers": (KeyInTheUrl, KeyInTheBody, ForgetsHeaders, KnowsNoTokens),
    "sends_what_the_caller_adds": (IgnoresExtraBody, IgnoresExtraHeaders),
    "leaves_no_parameter_out_in_silence": (IgnoresTemperature, RefusesWithoutAName, DropsWithoutAWord),
    "makes_or_refuses_other_operations": (RetrievesAnything,),
    "refuses_what_is_no_json": (WritesAnything,),
    "asks_the_same_again": (CountsRequests, TakesTheInputOut),
    "reads_a_complete_answer": (ForgetsTheRequestId, AsksOn),
    "answer_and_stream_agree": (CountsNoTokensInAStream, EndsTwice),
    "streams_keep_the_grammar": (LeavesOutTheParts, EndsTwice),
    "pieces_make_no_difference": (ReadsPiecesAsLines,),
    "streams_do_not_mix": (SharesOneDecoder,),
    "a_cut_stream_is_no_success": (EndsQuietly, TakesTheEndForAnEnd, RaisesKeyErrorsInStreams),
    "what_is_no_answer_is_an_error": (RaisesValueErrors, TakesAnythingForAnAnswer, EndsQuietly),
    "what_is_new_does_no_harm": (KnowsAllFields, KnowsAllEvents),
    "refusals_are_typed": (RaisesInsteadOfReturning, TakesAllForServerErrors, ForgetsThePause, ReturnsAString),
    "refusals_keep_the_providers_words": (SaysInItsOwnWords, TakesAllForServerErrors),
}
PAIRS = [(rule, mutant) for rule, mutants in MUTANTS.items() for mutant in mutants]


@pytest.mark.parametrize(("rule", "mutant"), PAIRS, ids=[f"{rule}-{mutant.__name__}" for rule, mutant in PAIRS])
def test_a_rule_catches_who_breaks_it(rule: str, mutant: type[Right]) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_all({rule: ADAPTER_RULES[rule]}, line_to(mutant(), EXCHANGE))


def test_every_rule_has_a_mutant_and_what_is_right_breaks_none() -> None:
    assert set(MUTANTS) == set(ADAPTER_RULES)
    check_adapter(Right(), EXCHANGE)


def test_the_sample_is_checked_too() -> None:
    """An exchange whose parts do not say the same is told as such."""
    with pytest.raises(AssertionError, match=r"(?s)reads_a_complete_answer: the text is.*answer_and_stream_agree"):
        check_adapter(Right(), replace(EXCHANGE, answer=EXCHANGE.answer.replace(b"lake", b"sea")))


def test_a_row_of_the_users_own() -> None:
    acme = Provider("acme", "https://api.acme.example/v1", ("ACME_API_KEY",))
    check_adapter(acme, EXCHANGE)
    exchange = Exchange(EXCHANGE.answer, EXCHANGE.stream, EXCHANGE.text, b'{"error": "no"}', "something else")
    with pytest.raises(AssertionError, match=r"^refusals_keep_the_providers_words: 'something else' is not in"):
        check_adapter(acme, exchange)
