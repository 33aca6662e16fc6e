"""Drives traffic through a Router, by the clock of the running event loop, and writes down what became of each call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from random import Random
from typing import Any, cast

from turnout.errors import TurnoutError
from turnout.limits.quota import NANO, Prices, Usage
from turnout.sim.record import Outcome, tries_of
from turnout.sim.simulated_router import SimulatedRouter
from turnout.sim.traffic import Arrival
from turnout.streams import AsyncStream
from turnout_adapters.types import Response

Ask = Callable[..., Awaitable[Any]]
"""`Router.aresponses`, or what takes the same arguments."""

_CHARS_PER_TOKEN = 4
_PROSE = "The night train reached the border before the signals changed, and nobody on the platform knew why. "
_OPEN = 200
"""Answers that a follow-up may continue: the latest ones."""


async def drive(  # noqa: PLR0913 (the keywords say what one run is)
    call: Ask | SimulatedRouter,
    model: str,
    arrivals: Iterable[Arrival],
    *,
    stream: float = 0.0,
    mistaken: Sequence[bool] | None = None,
    follow_ups: float = 0.0,
    until: float | None = None,
    prices: Mapping[str, Prices] | None = None,
    seed: int = 0,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Makes each call when it arrives, and returns what became of them in the order in which they ended.

    Seconds count from now. `stream` and `follow_ups` are shares of the calls: that stream, and that continue an earlier
    answer by `previous_response_id` (of their own conversation if arrivals tell conversations apart, else one of the
    last 200). `mistaken` says of each call whether its caller is in the wrong. Arrivals from `until` on are left out;
    calls that have begun are driven to their end. `prices` are by deployment id, those of a SimulatedRouter by default.
    Cancelled, it cancels the calls under way; what has ended was told to `on_outcome`. Errors that are no TurnoutError
    come out as an ExceptionGroup.
    """
    if isinstance(call, SimulatedRouter):
        call, prices = call.aresponses, call.prices if prices is None else prices
    driver = _Driver(call, model, prices or {}, on_outcome)
    rng = Random(f"drive:{seed}")
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        for index, arrival in enumerate(arrivals):
            if until is not None and arrival.at >= until:
                break
            if (pause := driver.begun + arrival.at - loop.time()) > 0:
                await asyncio.sleep(pause)
            wrong = mistaken is not None and mistaken[index]
            streams = stream > 0 and rng.random() < stream
            previous = driver.earlier(arrival, rng) if follow_ups > 0 and rng.random() < follow_ups else None
            tasks.create_task(driver.make(arrival, streams=streams, wrong=wrong, previous=previous))
    return driver.outcomes


class _Driver:
    """Makes calls and notes their ends."""

    def __init__(
        self, ask: Ask, model: str, prices: Mapping[str, Prices], on_outcome: Callable[[Outcome], None] | None
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.begun = asyncio.get_running_loop().time()
        self._now = asyncio.get_running_loop().time
        self._ask = ask
        self._model = model
        self._prices = prices
        self._on_outcome = on_outcome
        self._prose = _PROSE
        self._number = count()
        self._latest: deque[str] = deque(maxlen=_OPEN)
        self._by_conversation: dict[int, str] = {}

    def earlier(self, arrival: Arrival, rng: Random) -> str | None:
        """The answer that this call continues; None if there is none yet."""
        if arrival.conversation is not None:
            return self._by_conversation.get(arrival.conversation)
        return rng.choice(self._latest) if self._latest else None

    async def make(self, arrival: Arrival, *, streams: bool, wrong: bool, previous: str | None) -> None:
        """One call, from its arrival to its end."""
        metadata = {"words": str(arrival.output_tokens)}
        if arrival.conversation is not None:
            metadata["prefix"] = str(arrival.conversation)
        if wrong:
            metadata["mistake"] = "yes"
        asked: dict[str, Any] = {"metadata": metadata}
        if previous is not None:
            asked["previous_response_id"] = previous
        made = Outcome(
            at=self._now() - self.begun,
            seconds=0.0,
            ok=False,
            prompt_tokens=arrival.prompt_tokens,
            output_tokens=arrival.output_tokens,
            blame="caller" if wrong else "provider",
        )
        try:
            if streams:
                await self._streamed(made, arrival, asked)
            else:
                self._answered(made, arrival, await self._ask(self._model, self._text(arrival), **asked))
        except TurnoutError as error:
            made.error = type(error).__name__
            made.tries = tries_of(error.attempts, self.begun)
        made.seconds = self._now() - self.begun - made.at
        if not made.ok and not made.waited:
            made.waited = max(made.seconds - sum(one.seconds for one in made.tries), 0.0)
        self.outcomes.append(made)
        if self._on_outcome is not None:
            self._on_outcome(made)

    async def _streamed(self, made: Outcome, arrival: Arrival, asked: Mapping[str, Any]) -> None:
        events = cast("AsyncStream", await self._ask(self._model, self._text(arrival), stream=True, **asked))
        made.first = self._now() - self.begun - made.at
        async with events:
            async for _ in events:
                pass
        response = events.response
        if response is not None:
            self._answered(made, arrival, response)
        else:
            made.tries = tries_of(events.route.attempts, self.begun)
        last = made.tries[-1]
        outcome = "ok" if made.ok else "deployment"
        made.tries = (*made.tries[:-1], last._replace(seconds=self._now() - self.begun - last.at, outcome=outcome))
        if events.error is not None:
            made.error = type(events.error).__name__

    def _answered(self, made: Outcome, arrival: Arrival, response: Response) -> None:
        route, usage = response.route, response.usage
        made.ok = response.status in ("completed", "incomplete")
        made.tries = tries_of(route.attempts, self.begun)
        made.waited = route.waited
        if usage is not None:
            prices = self._prices.get(route.deployment)
            used = Usage(usage.input_tokens, usage.output_tokens)
            made.cost = 0.0 if prices is None else prices.cost(used) / NANO
        if made.ok:
            self._latest.append(response.id)
            if arrival.conversation is not None:
                self._by_conversation[arrival.conversation] = response.id

    def _text(self, arrival: Arrival) -> str:
        """A prompt of about the right size. Prompts of one conversation begin alike, others do not."""
        size = arrival.prompt_tokens * _CHARS_PER_TOKEN
        while len(self._prose) < size:
            self._prose += self._prose
        if arrival.conversation is None:
            head = f"Call {next(self._number)}. "
        else:
            head = f"Conversation {arrival.conversation}. "
        return head + self._prose[: max(size - len(head), 0)]
