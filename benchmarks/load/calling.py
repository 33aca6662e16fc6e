"""Makes one call through a Router and writes down what became of it."""

import time
from typing import Any

from benchmarks.load.targets import Target, dollars
from turnout.engine.decide import VERDICTS
from turnout.errors import TurnoutError
from turnout.sim.record import Outcome, tries_of
from turnout.sim.traffic import Arrival

CHARS_PER_TOKEN = 4
_LEAST_OUTPUT = 16
"""The smallest max_output_tokens that OpenAI accepts."""
_PROSE = "The night train reached the border before the signals changed, and nobody on the platform knew why. "


def prompt_of(arrival: Arrival, number: int) -> str:
    """Text of the right size. Prompts of one conversation begin alike; all others differ from their first word on."""
    conversation = arrival.conversation
    head = f"Call {number}: " if conversation is None else f"Conversation {conversation}: "
    size = max(arrival.prompt_tokens * CHARS_PER_TOKEN, len(head))
    return (head + _PROSE * (size // len(_PROSE) + 1))[:size]


def limit_of(arrival: Arrival) -> int:
    """The call's max_output_tokens."""
    return max(arrival.output_tokens, _LEAST_OUTPUT)


async def call(target: Target, arrival: Arrival, number: int, begun: float, *, stream: bool) -> Outcome:
    """One call. Its seconds count from the moment at which it should have started (coordinated omission).

    `begun` is when the run did, by `time.monotonic()`.
    """
    made = Outcome(arrival.at, 0.0, ok=False, prompt_tokens=arrival.prompt_tokens, output_tokens=arrival.output_tokens)
    asked: dict[str, Any] = {"input": prompt_of(arrival, number), "max_output_tokens": limit_of(arrival)}
    if target.fake:
        asked["metadata"] = {"words": str(arrival.output_tokens)}
    try:
        if stream:
            await _streamed(target, made, asked, begun)
        else:
            response = await target.router.aresponses(target.model, **asked)
            _answered(target, made, response)
            made.tries = tries_of(response.route.attempts, begun)
    except TurnoutError as error:
        made.error = type(error).__name__
        made.tries = tries_of(error.attempts, begun)
        kind = getattr(error, "kind", None)
        if kind is not None and VERDICTS[kind].outcome == "caller":
            made.blame = "caller"
    made.seconds = time.monotonic() - begun - made.at
    return made


async def _streamed(target: Target, made: Outcome, asked: dict[str, Any], begun: float) -> None:
    events = await target.router.aresponses(target.model, stream=True, **asked)
    made.first = time.monotonic() - begun - made.at
    async with events:
        async for _ in events:
            pass
    tries = tries_of(events.route.attempts, begun)
    if events.response is not None:
        _answered(target, made, events.response)
    if events.error is not None or not made.ok:
        made.ok = False
        made.error = type(events.error).__name__ if events.error is not None else "IncompleteStream"
    if not made.ok and not made.cost:
        made.cost = target.dearest(made.prompt_tokens, made.output_tokens)  # what it has cost nobody told
    ended = time.monotonic() - begun - tries[-1].at
    made.tries = (*tries[:-1], tries[-1]._replace(seconds=ended, outcome="ok" if made.ok else "deployment"))


def _answered(target: Target, made: Outcome, response: Any) -> None:
    made.ok = response.status in ("completed", "incomplete")  # incomplete: it has reached max_output_tokens
    made.error = None if made.ok else f"status {response.status}"
    made.waited = response.route.waited
    if response.usage is not None:
        made.prompt_tokens, made.output_tokens = response.usage.input_tokens, response.usage.output_tokens
    prices = target.prices.get(response.route.deployment)
    made.cost = 0.0 if prices is None else dollars(prices, made.prompt_tokens, made.output_tokens)
