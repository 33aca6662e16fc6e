"""What every fake upstream is, whatever it speaks: counters, a journal, faults, and the form of an answer."""

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from turnout.sim.faults import Fault
from turnout.sim.limit_headers import Limited, openai
from turnout.sim.service import Service, Size
from turnout.sim.serving import size_of

CREDENTIALS = ("api-key", "authorization", "x-api-key", "x-goog-api-key")
"""Headers that the journal leaves out."""
_WORDS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, or with `stream` the one whose events are to be sent."""

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


class Frame(NamedTuple):
    """One event of a stream, as bytes."""

    data: bytes
    paced: bool = False
    """A word of the answer: `word_seconds` pass after it."""


class Refused(Exception):
    """A request that the provider refuses. `foreign`: for something that belongs to another account."""

    def __init__(self, rule: str, message: str, *, foreign: bool = False, code: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.foreign = foreign
        self.code = code


class Upstream(ABC):
    """One account at a provider. Attributes may be changed at any time, from any thread.

    `latency` seconds pass before an answer, `word_seconds` between the words of a stream. `api_keys` empty means that
    any key is accepted. Subclasses say what is answered, and how a stream and its failure look on their wire.
    """

    request_id_header = "x-request-id"

    def __init__(
        self,
        name: str,
        *,
        api_keys: tuple[str, ...] = (),
        latency: float = 0.0,
        word_seconds: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.api_keys = set(api_keys)
        self.latency = latency
        self.word_seconds = word_seconds
        self.words = _WORDS
        """Tokens of an answer that a service's times and limits reckon with, unless the request's metadata says."""
        self.fault: Fault | None = None
        self._service: Service | None = None
        self.url = ""
        self.requests = 0
        self.served = 0
        self.foreign_ids = 0
        """Requests that named something of another account: a response, an item, sealed reasoning."""
        self.refused: Counter[str] = Counter()
        """Requests refused for what they say, by the rule that they broke."""
        self.statuses: Counter[int] = Counter()
        """Answers by their HTTP status."""
        self.in_flight = 0
        self.connections = 0
        self.journal: deque[Entry] = deque(maxlen=20_000)
        self._rng = random.Random(f"{name}:{seed}")
        self._lock = threading.Lock()
        self._hits = 0

    @property
    def service(self) -> Service | None:
        """How it serves under load; None: each answer after `latency`, whatever else is going on."""
        return self._service

    @service.setter
    def service(self, service: Service | None) -> None:
        self._service = service
        if service is not None and not service.model.ptu:
            service.limit_headers = self.limit_headers

    @abstractmethod
    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Answer:
        """What it says to a request that no fault has hit."""

    @abstractmethod
    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The events of a streamed answer."""

    @abstractmethod
    def failing(self, answer: Answer, fault: Fault, sent: int) -> Iterator[bytes]:
        """The events that say, after `sent` others, that the answer has failed."""

    @abstractmethod
    def fault_body(self, fault: Fault) -> Mapping[str, Any]:
        """A fault's body, which is described in OpenAI's form, in the provider's own."""

    def limit_headers(self, told: Limited) -> Mapping[str, str]:
        """What its answers say of a service's limits: as OpenAI does."""
        return openai(told)

    def size(self, body: Mapping[str, Any]) -> Size:
        """How large a request is."""
        return size_of(body, self.words)

    def work(self, method: str, body: Mapping[str, Any]) -> Size | None:
        """The same; None for what is no work for the model, such as retrieving a response."""
        return self.size(body) if method == "POST" and body else None

    def note_refusal(self, refused: Refused) -> None:
        """Counts it."""
        self.refused[refused.rule] += 1
        self.foreign_ids += refused.foreign

    def next_fault(self) -> Fault | None:
        """The fault that hits this request, None for none."""
        fault = self.fault
        if fault is None or (fault.share < 1.0 and self._rng.random() >= fault.share):
            return None
        if fault.times is not None:
            with self._lock:
                self._hits += 1
                if self._hits > fault.times:
                    return None
        return fault

    def set_fault(self, fault: Fault | None) -> None:
        """Changes the fault, and counts its `times` from now."""
        with self._lock:
            self._hits = 0
            self.fault = fault


def message_of(fault: Fault) -> str:
    """What a fault's body says."""
    inner: object = (fault.body or {}).get("error")
    told = cast("Mapping[str, Any]", inner).get("message") if isinstance(inner, Mapping) else None
    return str(told or "The server had an error")
