"""One fake region: its stored responses, its journal, and what it answers to which request."""

import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from turnout.sim.faults import Fault, error_body
from turnout.sim.replies import response_object


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, or with `stream` the response whose events are to be sent."""

    status: int
    body: Mapping[str, Any]
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    skip: int = 0
    """Events of the stream that the caller has already (`starting_after`)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, as the journal keeps it. Credentials are not kept."""

    method: str
    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class FakeRegion:
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
        self.name = name
        self.api_keys = set(api_keys)
        self.latency = latency
        self.word_seconds = word_seconds
        self.words = words
        self.fault: Fault | None = None
        self.url = ""
        self.requests = 0
        self.served = 0
        self.foreign_ids = 0
        """Requests that named a response this region has not made."""
        self.in_flight = 0
        self.connections = 0
        self.journal: deque[Entry] = deque(maxlen=20_000)
        self.responses: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, list[Any]] = {}
        self._turns: dict[str, int] = {}
        self._rng = random.Random(f"{name}:{seed}")
        self._lock = threading.Lock()

    def next_fault(self) -> Fault | None:
        """The fault that hits this request, None for none."""
        fault = self.fault
        if fault is None or (fault.share < 1.0 and self._rng.random() >= fault.share):
            return None
        if fault.times is not None:
            with self._lock:
                count = getattr(self, "_hits", 0) + 1
                self._hits = count
                if count > fault.times:
                    return None
        return fault

    def set_fault(self, fault: Fault | None) -> None:
        """Changes the fault, and counts its `times` from now."""
        with self._lock:
            self._hits = 0
            self.fault = fault

    def answer(self, method: str, path: str, query: Mapping[str, str], key: str, body: Mapping[str, Any]) -> Answer:
        """What the region says to a request that no fault has hit."""
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
            response = response_object(body, self.name, turn, words, self._rng)
        if body.get("background"):
            response = {**response, "status": "queued"}
        if body.get("store", True):
            self.responses[response["id"]] = response
            self._turns[response["id"]] = turn
            given = body.get("input")
            self.inputs[response["id"]] = list(cast("list[Any]", given)) if isinstance(given, list) else [given]
        self.served += 1
        return Answer(200, response, stream=bool(body.get("stream")))

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
