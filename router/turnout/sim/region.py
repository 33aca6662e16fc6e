"""One fake region: its stored responses, its journal, and what it answers to which request."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from turnout.sim.faults import Fault, error_body
from turnout.sim.replies import encode_event, failed_events, response_object, stream_events
from turnout.sim.upstream import Answer, Frame, Upstream


class FakeRegion(Upstream):
    """An Azure-shaped resource. Attributes may be changed at any time, from any thread.

    `latency` seconds pass before an answer, `word_seconds` between the words of a stream; `words` is the length of an
    answer unless the request's metadata has `words`. `api_keys` empty means that any key is accepted.
    """

    def __init__(
        self,
        name: str,
        *,
        api_keys: tuple[str, ...] = (),
        latency: float = 0.0,
        word_seconds: float = 0.0,
        words: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(name, api_keys=api_keys, latency=latency, word_seconds=word_seconds, seed=seed)
        self.words = words
        self.responses: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, list[Any]] = {}
        self._turns: dict[str, int] = {}

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Answer:
        """What the region says to a request that no fault has hit."""
        if "/responses" not in path:
            return Answer(404, error_body(f"no such path: {path}", "invalid_request_error", None))
        key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_keys and key not in self.api_keys:
            return Answer(401, error_body("Incorrect API key provided", "invalid_request_error", "invalid_api_key"))
        operation = path.split("/responses", 1)[1].strip("/")
        if method == "POST" and operation == "":
            return self._create(body)
        if method == "POST" and operation == "compact":
            return self._compact(body)
        if method == "POST" and operation == "input_tokens":
            size = len(str(body.get("input", ""))) // 4 + 1
            return Answer(200, {"object": "response.input_tokens", "input_tokens": size})
        response_id, _, verb = operation.partition("/")
        if response_id not in self.responses:
            self.foreign_ids += 1
            message = f"Response with id '{response_id}' not found."
            return Answer(404, error_body(message, "invalid_request_error", None))
        return self._existing(method, response_id, verb, query)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The events that the caller does not have yet."""
        for index, event in enumerate(stream_events(answer.body)):
            if index >= answer.skip:
                yield Frame(encode_event(event), paced=event["type"].endswith(".delta"))

    def failing(self, answer: Answer, fault: Fault, sent: int) -> Iterator[bytes]:
        """An `error` event, and `response.failed` where the fault says so."""
        return map(encode_event, failed_events(answer.body, sent, then_failed=fault.then_failed))

    def fault_body(self, fault: Fault) -> Mapping[str, Any]:
        """As it is."""
        return fault.body or {}

    def _create(self, body: Mapping[str, Any]) -> Answer:
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self.responses:
            self.foreign_ids += 1
            message = f"Previous response with id '{previous}' not found."
            code = "previous_response_not_found"
            return Answer(400, error_body(message, "invalid_request_error", code, "previous_response_id"))
        turn = self._turns.get(str(previous), 0) + 1
        metadata: Mapping[str, Any] = body.get("metadata") or {}
        words = int(metadata.get("words", self.words))
        with self._lock:
            response = self._made(body, turn, words)
        if body.get("background"):
            response = {**response, "status": "queued"}
        if body.get("store", True):
            self.responses[response["id"]] = response
            self._turns[response["id"]] = turn
            given = body.get("input")
            self.inputs[response["id"]] = list(cast("list[Any]", given)) if isinstance(given, list) else [given]
        self.served += 1
        return Answer(200, response, stream=bool(body.get("stream")))

    def _made(self, body: Mapping[str, Any], turn: int, words: int) -> dict[str, Any]:
        """A new response."""
        return response_object(body, self.name, turn, words, self._rng)

    def _compact(self, body: Mapping[str, Any]) -> Answer:
        item = {"id": f"cmp_{self._rng.getrandbits(96):024x}", "type": "compaction", "encrypted_content": self.name}
        compacted = {
            "id": f"resp_{self._rng.getrandbits(96):024x}",
            "object": "response.compaction",
            "created_at": 1_790_000_000,
            "output": [item],
            "usage": response_object(body, self.name, 1, 1, self._rng)["usage"],
        }
        return Answer(200, compacted)

    def _existing(self, method: str, response_id: str, verb: str, query: Mapping[str, str]) -> Answer:
        response = self.responses[response_id]
        if method == "DELETE":
            del self.responses[response_id]
            return Answer(200, {"id": response_id, "object": "response", "deleted": True})
        if verb == "cancel":
            self.responses[response_id] = response = {**response, "status": "cancelled"}
            return Answer(200, response)
        if verb == "input_items":
            data = [
                {"id": f"msg_in{index}", "type": "message", "role": "user", "status": "completed",
                 "content": [{"type": "input_text", "text": str(one)}]}
                for index, one in enumerate(self.inputs[response_id])
            ]  # fmt: skip
            first, last = data[0]["id"], data[-1]["id"]
            listed = {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": False}
            return Answer(200, listed)
        if response["status"] == "queued":
            self.responses[response_id] = response = {**response, "status": "completed"}
        skip = int(query.get("starting_after", -1)) + 1
        return Answer(200, response, stream=query.get("stream") == "true", skip=skip)
