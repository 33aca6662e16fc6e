"""Model groups under calls, in a time of their own, chosen and given back by the Router's own fleet."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from turnout.config import parse_model_list
from turnout.context import Call
from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.settling import settle_success
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.protocols import Strategy
from turnout.testing.rules import API_KEY, need

Row = Mapping[str, Any]
MakeRow = Callable[[str, int], Row]
"""Makes a row of `model_list` for a model group, by its number in there; rows of one group count as equals."""
Seconds = Callable[[Deployment, float], float]
"""How long a typical answer takes of a deployment that is asked at that time."""

_START = 1_000.0
_TOKENS = (40, 100)
_SPREAD = 0.25
"""Standard deviation of the logarithm of an answer's time: no two take equally long."""


def plain_row(group: str, number: int) -> Row:
    """One of many equal deployments of a model group."""
    params = {"model": "openai/gpt-4o", "api_key": API_KEY, "api_base": f"https://{group}-{number}.example/v1"}
    return {"model_name": group, "litellm_params": params, "model_info": {"id": f"{group}-{number}"}}


def deployments_of(rows: Sequence[Row]) -> list[Deployment]:
    """Deployments as the Router makes them of rows."""
    return [Deployment(spec) for spec in parse_model_list(list(rows), {})]


def a_call(group: str = "a", number: int = 0, now: float = _START, **more: Any) -> Call:
    """One of many calls; those of different numbers have different inputs and tenants."""
    body = {"input": f"question {number}", "max_output_tokens": 100}
    return Call("create", group, body, now, now + 60.0, tenant=f"tenant-{number}", **more)


class Traffic:
    """Calls on a fleet that a strategy serves. What the strategy is told, it is told by the Router's own code."""

    def __init__(
        self, strategy: Strategy, make_row: MakeRow, *, seed: int = 1, seconds: Seconds = lambda _one, _now: 1.0
    ) -> None:
        self.fleet = Fleet(strategy, [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
        self.now = _START
        self._make_row = make_row
        self._rng = Random(seed)
        self._noise = Random(seed)
        self._seconds = seconds
        self._under_way: list[tuple[float, int, Lease]] = []
        self._calls = 0

    def join(self, group: str, *numbers: int) -> None:
        """Adds deployments to a group."""
        for spec in parse_model_list([self._make_row(group, number) for number in numbers], {}):
            self.fleet.add(spec, self.now)

    def leave(self, group: str, number: int) -> None:
        """Takes a deployment out; calls under way on it go on."""
        self.fleet.remove(self.id_of(group, number), self.now)

    def id_of(self, group: str, number: int) -> str:
        """The id that the Router gives the row."""
        return parse_model_list([self._make_row(group, number)], {})[0].id

    def call(self, group: str, *, stream: bool = False) -> str:
        """Begins a call, and says on which deployment. Raises AssertionError if none was chosen."""
        self._calls += 1
        call = a_call(group, self._calls, self.now, stream=stream)
        lease = self.fleet.choose(Destination(self.fleet.groups[group]), call, Tries(), self.now, self._rng)
        if not isinstance(lease, Lease):
            raise AssertionError(f"no deployment was chosen: {dict(lease.reasons)}")
        ends = self.now + self._seconds(lease.deployment, self.now) * self._noise.lognormvariate(0.0, _SPREAD)
        if stream:
            lease.first_event = (ends - self.now) / 4
        heapq.heappush(self._under_way, (ends, self._calls, lease))
        return lease.deployment.id

    def advance(self, seconds: float) -> None:
        """Lets time pass, in which calls end."""
        until = self.now + seconds
        while self._under_way and self._under_way[0][0] <= until:
            self.now, _, lease = heapq.heappop(self._under_way)
            settle_success(lease, self.fleet, self.now, *_TOKENS)
        self.now = until

    def run(self, group: str, calls: int, every: float) -> list[str]:
        """So many calls, one each `every` seconds: where they went."""
        places: list[str] = []
        for _ in range(calls):
            places.append(self.call(group))
            self.advance(every)
        return places

    def finish(self) -> None:
        """Ends the calls under way, and looks that none is left in flight."""
        self.advance(1e6)
        left = [one.id for one in self.fleet.deployments.values() if one.in_flight]
        need(not left, f"calls are in flight for ever on {left}")
