"""What one call is: the immutable request of the caller and the events that report on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from turnout.errors import BadRequestError
from turnout.limits.quota import NOTHING_USED, Usage
from turnout.policies import AffinityKind
from turnout_adapters.adapter import Operation
from turnout_adapters.types.route import Attempt, Outcome, Route

_CHARS_PER_TOKEN = 4
_MOST_PARTS = 1_000_000
_DEFAULT_OUTPUT_TOKENS = 256
_NO_WORDS = frozenset({"data", "file_data", "image_url", "encrypted_content", "result"})
"""Fields of items that hold bytes in the form of text."""


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return _NOTHING


class Draft(NamedTuple):
    """What a call says about its conversation, for the transcript that its answer will be added to."""

    given: Any = None
    """The input as the caller gave it."""
    parent: str | None = None
    """Key of the turn before, in the transcript store."""
    previous_id: str | None = None
    """The `previous_response_id` that the caller gave."""
    conversation: str | None = None
    """Our own id of the conversation, if it is one that is kept here."""
    conversation_id: str | None = None
    """The same as the caller knows it."""
    own: str | None = None
    """Key of the turn that an operation on an existing response is about."""
    whole_chain: bool = False
    """Delete what came before it too."""
    expand: bool = False
    """No account holds the history: it must be put into the input."""
    keep: bool = True
    """False if the caller said `store=False`."""
    path: tuple[str, ...] = ()
    """Keys of the nearest turns before, as far as they are known; nearest first."""

    def __repr__(self) -> str:
        return f"Draft(parent={self.parent!r})"


@dataclass(frozen=True, slots=True, repr=False)
class AffinityKey:
    """The hash of what ties calls together. Calls with the same key prefer the same deployment."""

    kind: AffinityKind
    digest: bytes

    @property
    def bounded(self) -> bool:
        """One key may stand for most of the traffic: the load it gives a deployment is bounded."""
        return self.kind == "prompt_cache"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One call of the Router, immutable. Times are seconds of the monotonic clock.

    `model` is what the caller asked for; `pin` the state domain the call belongs to, None if it may go anywhere.
    """

    operation: Operation
    model: str
    body: Mapping[str, Any]
    started: float
    deadline: float
    stream: bool = False
    open_ended: bool = False
    """The caller gave no deadline: it bounds the time until the answer begins, not a stream that is running."""
    response_id: str | None = None
    """The provider's own id, for operations on an existing response."""
    pin: str | None = None
    prefer: str | None = None
    """Deployment id that made the state, first choice within the pinned domain."""
    stateless: bool = False
    """True for operations that any deployment of the pinned domain can do, whatever its model."""
    tenant: str = ""
    tags: tuple[str, ...] = ()
    regions: tuple[tuple[str, ...], ...] = ()
    """Where it may be answered: in one of the regions of each entry (the Router's, the model group's, its own)."""
    attempt_timeout: float | None = None
    impatient: bool = False
    """The caller itself gave so little time that an answer in time would prove little, and none proves nothing."""
    retries: int | None = None
    fallbacks: tuple[str, ...] | None = None
    """Replaces the configured fallbacks for this call; () for none."""
    extra_headers: Mapping[str, str] = field(default_factory=_nothing)
    extra_body: Mapping[str, Any] = field(default_factory=_nothing)
    """Fields of the wire's own body, sent as they are."""
    drop_params: bool | None = None
    """None: as the deployment says."""
    wire: str | None = None
    """The wire to use, where a deployment's provider speaks several."""
    raise_on_content_filter: bool = False
    text_format: Any = None
    """The pydantic model that the text is parsed into."""
    home: str | None = None
    """The state domain that can read the reasoning in the input: first choice, but the call may go elsewhere."""
    owners: Mapping[int, str] = field(default_factory=_nothing)
    """Index to state domain, of the input items that only their account can read."""
    affinity: AffinityKey | None = None
    """Which deployment the call prefers among those that could serve it; None: the strategy's."""
    hedge: bool = True
    """False: not to be sent to two deployments at once, whatever the Router's settings."""
    notes: tuple[str, ...] = ()
    draft: Draft | None = None
    """None where no transcripts are kept."""
    replayed: bool = False
    """The account that holds the conversation was not available: the history is in the input."""

    def __repr__(self) -> str:
        return f"Call({self.operation}, {self.model!r})"


@dataclass(slots=True)
class Pick:
    """What a strategy may look at besides the candidates: the call, the time in seconds, and chance."""

    call: Call
    now: float
    rng: Random
    uniform: bool = False
    """All candidates have equal shares: no need to compare them."""


class Observation(NamedTuple):
    """What became of one attempt, as a strategy that learns is told. Times in seconds of the monotonic clock."""

    started: float
    now: float
    outcome: Outcome | None
    """None: it was given up by the caller, which says nothing of the deployment."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    first_event: float | None = None
    """Seconds until the first output, for streams."""
    probe: bool = False
    token: Any = None
    """What the strategy's `started` returned for this attempt."""


def acts(fields: Mapping[str, Any]) -> bool:
    """True if a second copy of a call would do something again: a background response, what is added to a provider's
    conversation, tools that the provider calls at others' servers."""
    tools: object = fields.get("tools")
    listed = cast("Sequence[object]", tools) if isinstance(tools, list | tuple) else ()
    return bool(fields.get("background") or fields.get("conversation") or any(map(_acts_elsewhere, listed)))


def _acts_elsewhere(tool: object) -> bool:
    return isinstance(tool, Mapping) and cast("Mapping[str, Any]", tool).get("type") == "mcp"


def estimate_tokens(call: Call) -> Usage:
    """A call's likely size, without a tokenizer: a quarter of its characters, and the output it may make (or 256)."""
    if call.operation not in ("create", "compact"):
        return NOTHING_USED
    output = call.body.get("max_output_tokens")
    expected = output if isinstance(output, int) else _DEFAULT_OUTPUT_TOKENS
    return Usage(estimate_input_tokens(call.body), expected)


def size_of(call: Call) -> Usage:
    """As `estimate_tokens`, with what of it is more than a guess: text, and an output that the caller asked for."""
    usage = estimate_tokens(call)
    if usage is NOTHING_USED:
        return usage
    output = call.body.get("max_output_tokens")
    words = _characters(call.body.get("input"), words=True) + _characters(call.body.get("instructions"))
    return usage._replace(least_input=words // _CHARS_PER_TOKEN, least_output=output if isinstance(output, int) else 0)


def estimate_input_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of the input and instructions, estimated at four characters each."""
    return (_characters(body.get("input")) + _characters(body.get("instructions"))) // _CHARS_PER_TOKEN + 1


def _characters(value: object, *, words: bool = False) -> int:
    """All characters, or those of texts alone. Raises BadRequestError for what has no end, or as good as none."""
    total, seen, todo = 0, 0, [value]
    while todo:
        seen += 1
        if seen > _MOST_PARTS:
            raise BadRequestError(f"input: it has more than {_MOST_PARTS} parts, or holds itself", param="input")
        one = todo.pop()
        if isinstance(one, str):
            total += 0 if words and one.startswith("data:") else len(one)
        elif isinstance(one, Mapping):
            fields = cast("Mapping[str, object]", one).items()
            todo += [inner for name, inner in fields if not (words and name in _NO_WORDS)]
        elif isinstance(one, list | tuple):
            todo += cast("Sequence[object]", one)
    return total


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """Telemetry: one request to one deployment ended."""

    attempt: Attempt
    operation: Operation
    stream: bool


@dataclass(frozen=True, slots=True)
class CallFinished:
    """Telemetry: one call ended. `error` is the class name of the error raised, None on success."""

    operation: Operation
    model: str
    seconds: float
    route: Route | None
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


RouterEvent = AttemptFinished | CallFinished
Sink = Callable[[RouterEvent], None]
