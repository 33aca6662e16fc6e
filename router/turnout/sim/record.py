"""What became of one call, as simulations, load tests and models of other routers write it down."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from turnout_adapters.types.route import Attempt


class Try(NamedTuple):
    """One request to one deployment."""

    deployment: str
    at: float
    """Seconds since the start of the run at which it was sent."""
    seconds: float
    outcome: str
    """ok, caller, throttle, deployment or provider: whose fault a failure was."""


@dataclass(slots=True)
class Outcome:
    """One call from its arrival to its end. Times in seconds; `at` counts from the start of the run."""

    at: float
    seconds: float
    ok: bool
    prompt_tokens: int
    output_tokens: int
    """Of the answer; of the one that was wanted, if there was none."""
    tries: tuple[Try, ...] = ()
    error: str | None = None
    """Class name of the error the caller got."""
    first: float | None = None
    """Seconds until the first output, for streams."""
    waited: float = 0.0
    """Seconds spent waiting for a limit, a throttle or a recovery."""
    cost: float = 0.0
    """Dollars, at the prices of the deployments that were used."""
    blame: str = "provider"
    """`caller` if the request itself was wrong: its failure is the right answer."""

    @property
    def deployment(self) -> str | None:
        """Who answered; None if nobody did."""
        return self.tries[-1].deployment if self.ok and self.tries else None


def tries_of(attempts: Iterable[Attempt], begun: float = 0.0) -> tuple[Try, ...]:
    """A route's attempts as a run writes them down that began at `begun`, by the Router's clock."""
    return tuple(Try(one.deployment, one.at - begun, one.seconds, one.outcome) for one in attempts)
