"""A region for millions of requests: speaks the Responses API, and keeps no more than the turns of late."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from turnout.sim.faults import Fault, error_body
from turnout.sim.replies import encode_event, failed_events, message_item, response_with, stream_events
from turnout.sim.service import Service, Size
from turnout.sim.upstream import Answer, Frame, Upstream

_KEPT = 20_000
"""Responses that are remembered; the oldest are forgotten."""


class PlainRegion(Upstream):
    """Answers with one sentence, whatever the length that its usage tells.

    A request whose metadata has `mistake` gets a 404, as a caller's mistake would.
    """

    def __init__(self, service: Service, *, api_keys: tuple[str, ...] = (), seed: int = 0) -> None:
        super().__init__(service.name, api_keys=api_keys, seed=seed)
        self.service = service
        self.turns: OrderedDict[str, int] = OrderedDict()
        self.journal.clear()

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],  # noqa: ARG002 (the protocol's signature)
        headers: Mapping[str, str],  # noqa: ARG002
        body: Mapping[str, Any],
    ) -> Answer:
        """A response that has the right usage."""
        if method != "POST" or not path.endswith("/responses"):
            return Answer(404, error_body(f"no such path: {path}", "invalid_request_error", None))
        metadata: Mapping[str, Any] = body.get("metadata") or {}
        if metadata.get("mistake"):
            return Answer(404, error_body("No such file: file-0", "invalid_request_error", "not_found"))
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self.turns:
            self.foreign_ids += 1
            message = f"Previous response with id '{previous}' not found."
            code = "previous_response_not_found"
            return Answer(400, error_body(message, "invalid_request_error", code, "previous_response_id"))
        turn = self.turns.get(str(previous), 0) + 1
        size = self.size(body)
        text = f"{self.name} turn {turn}: all signals are green"
        made = response_with({**body, "input": ""}, [message_item(text, self._rng)], size.output_tokens, self._rng)
        made["usage"] = _usage(size)
        self.turns[made["id"]] = turn
        if len(self.turns) > _KEPT:
            self.turns.popitem(last=False)
        self.served += 1
        return Answer(200, made, stream=bool(body.get("stream")))

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The events, the words of the sentence paced."""
        for event in stream_events(answer.body):
            yield Frame(encode_event(event), paced=event["type"].endswith(".delta"))

    def failing(self, answer: Answer, fault: Fault, sent: int) -> Iterator[bytes]:
        """An `error` event, and `response.failed` where the fault says so."""
        return map(encode_event, failed_events(answer.body, sent, then_failed=fault.then_failed))

    def fault_body(self, fault: Fault) -> Mapping[str, Any]:
        """As it is."""
        return fault.body or {}


def _usage(size: Size) -> dict[str, Any]:
    return {
        "input_tokens": size.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": size.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": size.prompt_tokens + size.output_tokens,
    }
