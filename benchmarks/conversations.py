"""Conversations whose every turn carries a word of its own, and a record of what was said in them.

The upstreams (`turnout.sim.words`) answer with all words of the history that they were given. An answer is right if
those are the words of the record, each once and in order.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from turnout.sim.words import new_word, read_answer

TOOL = "look_up"
TOOLS = [
    {
        "type": "function",
        "name": TOOL,
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]},
    }
]
REASONING = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}
AT_ONCE = 64
"""Conversations under way at a time."""
_ENDS = ("response.completed", "response.incomplete", "response.failed")
Json = dict[str, Any]


class Answered(NamedTuple):
    """What came back, whoever was asked."""

    id: str
    text: str
    """What the model said, be it in a message or in the arguments of a call."""
    call_id: str | None
    failed: bool = False
    """A stream that broke after its first output and ended in `response.failed`."""
    replayed: bool = False


Ask = Callable[[Json], Awaitable[Answered]]


class Unexpected(Exception):
    """An answer that was not given from the whole history."""


@dataclass
class Conversation:
    """One conversation: its plan, its record, and how it ended."""

    rng: random.Random
    streamed: float
    tool_turns: frozenset[int]
    reasons: bool
    record: list[str] = field(default_factory=list)
    """Every word said so far: ask, say, and got for the results of tools."""
    previous: str | None = None
    pending: str | None = None
    """The call whose result is to be sent next."""
    turns: int = 0
    replayed: int = 0
    broken_streams: int = 0
    error: Exception | None = None
    seconds: float = 0.0
    """What the last turn took."""

    async def turn(self, ask: Ask, **more: Any) -> None:
        """A whole turn: what the user says, and the results of tools until there is an answer."""

        async def whole() -> None:
            if self.pending is None:
                await self._say(ask, more)
            while self.pending is not None:
                await self._give_result(ask, more)
            self.turns += 1

        await self._timed(whole())

    async def begin(self, ask: Ask, **more: Any) -> None:
        """The beginning of a turn: what the user says, up to a call that stays pending, or to a stream that breaks."""

        async def beginning() -> None:
            broken = self.broken_streams
            await self._say(ask, more)
            self.turns += self.pending is None and self.broken_streams == broken

        await self._timed(beginning())

    async def _timed(self, work: Awaitable[None]) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            await work
        except Exception as error:  # noqa: BLE001 (whatever a router raises is how the conversation ended)
            self.error = error
        self.seconds = clock() - started

    async def _say(self, ask: Ask, more: Json) -> None:
        word = new_word("ask", self.rng)
        uses_tool = self.turns + 1 in self.tool_turns
        await self._exchange(ask, word, f"Please {TOOL} {word}." if uses_tool else f"Well, {word}.", more)

    async def _give_result(self, ask: Ask, more: Json) -> None:
        word = new_word("got", self.rng)
        result = {"type": "function_call_output", "call_id": self.pending, "output": word}
        await self._exchange(ask, word, [result], more)

    async def _exchange(self, ask: Ask, word: str, given: Any, more: Json) -> None:
        asked: Json = {"input": given, "stream": self.rng.random() < self.streamed, **more}
        if self.previous is not None:
            asked["previous_response_id"] = self.previous
        if self.tool_turns:
            asked["tools"] = TOOLS
        if self.reasons:
            asked |= REASONING
        answered = await ask(asked)
        if answered.failed:
            self.broken_streams += 1
            return
        read = read_answer(answered.text)
        if read is None or read[1] != [*self.record, word]:
            raise Unexpected(f"sent {[*self.record, word]}, answered {answered.text!r}")
        self.record += [word, read[0]]
        self.previous, self.pending = answered.id, answered.call_id
        self.replayed += answered.replayed


def conversations(count: int, rng: random.Random, *, plain_turn: int = 0) -> list[Conversation]:
    """A mixture: half of the turns streamed, two fifths with tools (never in `plain_turn`), a third with reasoning."""
    found: list[Conversation] = []
    for _ in range(count):
        tools = frozenset(rng.choice(((3, 5), (2, 4), (2, 3, 6)))) if rng.random() < 0.4 else frozenset[int]()
        own = random.Random(rng.getrandbits(64))
        found.append(Conversation(own, 0.5, tools - {plain_turn}, reasons=rng.random() < 1 / 3))
    return found


async def each(them: Iterable[Conversation], what: Callable[[Conversation], Awaitable[None]]) -> None:
    """Does something with all of them, so many at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(conversation: Conversation) -> None:
        async with gate:
            await what(conversation)

    await asyncio.gather(*[one(conversation) for conversation in them])


async def asked_of(router: Any, model: str, asked: Json) -> Answered:
    """Asks a Turnout or a LiteLLM Router. A stream must end with its one terminal event."""
    answer = await router.aresponses(model=model, **asked)
    if not asked["stream"]:
        return read_response(answer)
    ends: list[str] = []
    kind, response = "", None
    async for event in answer:
        kind = str(getattr(event.type, "value", event.type))
        if kind in _ENDS:
            ends.append(kind)
            response = event.response
    if ends == ["response.failed"] and kind == "response.failed":
        return Answered("", "", None, failed=True)
    if ends != ["response.completed"] or kind != "response.completed":
        raise Unexpected(f"a stream that ended with {ends} and {kind!r}")
    return read_response(response)


def read_response(response: Any) -> Answered:
    """A response of either."""
    text, call_id = "", None
    for item in response.output:
        fields = item if isinstance(item, dict) else item.model_dump()
        if fields["type"] == "function_call":
            call_id, text = fields["call_id"], json.loads(fields["arguments"] or "{}").get("note", "")
        elif fields["type"] == "message":
            text += "".join(part.get("text") or "" for part in fields["content"])
    affinity = getattr(getattr(response, "route", None), "affinity", None)
    return Answered(response.id, text, call_id, replayed=affinity == "replayed")
