"""What is limited: so many requests, tokens or dollars in so many seconds. Frozen values."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Unit = Literal["requests", "tokens", "input", "output", "money"]

NANO = 1_000_000_000
"""Nano-dollars in a dollar: money is counted in whole ones, so that sums are exact."""
_PICO = 1000 * NANO
_SPANS = {86_400: "d", 3600: "h", 60: "m", 1: "s"}


class Usage(NamedTuple):
    """Tokens of one call."""

    input: int
    output: int
    least_input: int = 0
    """How much of the input is text: what images and files amount to is anybody's guess."""
    least_output: int = 0
    """How much of the output the caller asked for."""

    @property
    def least(self) -> "Usage":
        """What the call takes at least, as far as a quarter of its characters can tell."""
        return Usage(self.least_input, self.least_output)


NOTHING_USED = Usage(0, 0)
"""Of operations that are not charged by tokens: retrieving, deleting, counting."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Pico-dollars per token."""

    input: int = 0
    output: int = 0

    @classmethod
    def per_token(cls, input_cost: float, output_cost: float) -> "Prices":
        """From dollars per token, as LiteLLM's input_cost_per_token and output_cost_per_token give them."""
        return cls(round(input_cost * _PICO), round(output_cost * _PICO))

    def cost(self, usage: Usage) -> int:
        """Nano-dollars, rounded up."""
        return -(-(usage.input * self.input + usage.output * self.output) // 1000)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` units in any `period` seconds; money in nano-dollars. `name` is the setting it comes from."""

    name: str
    limit: int
    period: float
    unit: Unit

    @classmethod
    def dollars(cls, name: str, limit: float, period: float) -> "Quota":
        """A limit on money."""
        return cls(name, max(1, round(limit * NANO)), period, "money")

    def __str__(self) -> str:
        if self.unit == "money":
            return f"{self.name} of ${self.limit / NANO:g} per {spelled(self.period)}"
        return f"{self.name} limit of {self.limit}"


def spelled(seconds: float) -> str:
    """ "1d", "90m", "30s": a period as settings give it."""
    span = next((one for one in _SPANS if seconds >= one and seconds % one == 0), 1)
    return f"{seconds / span:g}{_SPANS[span]}"


def amount_of(unit: Unit, usage: Usage, prices: Prices) -> int:
    """How much of a quota a call uses."""
    match unit:
        case "requests":
            return 1
        case "tokens":
            return usage.input + usage.output
        case "input":
            return usage.input
        case "output":
            return usage.output
        case "money":
            return prices.cost(usage)
