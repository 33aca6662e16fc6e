"""The fleet under any order of events: the index is right, counts come back, limits hold, one probe at a time."""

from math import inf
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from turnout.config import parse_model_list
from turnout.context import Call
from turnout.engine import cooldown
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination, Lease, Tries
from turnout.engine.ready import bring_back
from turnout.engine.settling import settle_failure, settle_success
from turnout.errors import APIError, BadRequestError, InternalServerError, RateLimitError
from turnout.limits.book import LimitBook
from turnout.limits.quota import Quota
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES
from turnout_adapters.kinds import Kind


class Clock:
    """The part of the port that release and settle use."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.rng = Random(3)

    def now(self) -> float:
        return self.time


def row(name: str, **params: Any) -> dict[str, Any]:
    given = {"model": "azure/gpt", "api_key": "k", "api_base": f"https://{name}.openai.azure.com", **params}
    return {"model_name": "gpt", "litellm_params": given, "model_info": {"id": name}}


NAMES = ("a", "b", "c", "d", "e", "f")
PRICED = {"model": "openai/gpt-4o", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
LIMITS: dict[str, dict[str, Any]] = {
    "a": {},
    "b": {"rpm": 3},
    "c": {"max_parallel_requests": 2},
    "d": {"tpm": 1200, "order": 2},
    "e": {**PRICED, "itpm": 900},
    "f": {**PRICED, "order": 2},
}
BUDGETS = {"openai": Quota.dollars("budget of openai", 0.0012, 60.0)}
ERRORS: dict[str, APIError] = {
    "caller": BadRequestError("x"),
    "throttle": RateLimitError("x", retry_after=4.0),
    "deployment": InternalServerError("x"),
    "provider": InternalServerError("x", kind=Kind.OVERLOADED),
}


class FleetMachine(RuleBasedStateMachine):
    """Calls begin and end, time passes, deployments come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.io: Any = Clock()
        self.fleet = Fleet(
            STRATEGIES["least-busy"](),
            [],
            CooldownPolicy(),
            BudgetPolicy(),
            WaitPolicy(),
            LimitBook(BUDGETS),
        )
        self.leases: list[Lease] = []
        self.used: list[tuple[str, float]] = []
        for name in NAMES:
            self.add(name)

    def add(self, name: str) -> None:
        self.fleet.add(parse_model_list([row(name, **LIMITS[name])], {})[0], self.io.now())

    def group(self) -> Any:
        return self.fleet.groups.get("gpt")

    @precondition(lambda self: self.group() is not None)
    @rule(panic=st.booleans(), size=st.integers(1, 2000), retry=st.booleans())
    def begin(self, panic: bool, size: int, retry: bool) -> None:
        call = Call("create", "gpt", {"input": "x" * size}, self.io.now(), inf)
        tries = Tries(made=int(retry))
        before = {one.id: cooldown.available_at(one, self.io.now()) for one in self.group().members}
        probing = {one.id for one in self.group().members if one.health.probing}
        outcome = self.fleet.choose(Destination(self.group()), call, tries, self.io.now(), self.io.rng, panic=panic)
        if not isinstance(outcome, Lease):
            assert outcome.reasons
            return
        chosen = outcome.deployment
        assert before[chosen.id] <= self.io.now() or (panic and outcome.probe)
        assert chosen.id not in probing, "a second probe"
        self.leases.append(outcome)
        self.used.append((chosen.id, self.io.now()))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "cancelled", *ERRORS]), sent=st.booleans())
    def end(self, data: st.DataObject, outcome: str, sent: bool) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        now = self.io.now()
        lease.sent = sent
        if outcome in ERRORS:
            settle_failure(lease, ERRORS[outcome], outcome, self.fleet, self.io)  # type: ignore[arg-type]
        elif outcome == "ok":
            settle_success(lease, self.fleet, now, 20, 10)
        else:
            self.fleet.release(lease, now, None, None)
        self.fleet.release(lease, now, None, None)

    @rule(seconds=st.sampled_from([0.01, 1.0, 5.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.io.time += seconds

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name: str) -> None:
        self.fleet.remove(name, self.io.now())

    @rule(name=st.sampled_from(NAMES))
    def come(self, name: str) -> None:
        self.add(name)

    @invariant()
    def the_index_is_right(self) -> None:
        group = self.group()
        if group is None:
            return
        bring_back(group, self.io.now())
        listed = {one.id for level in group.ready.values() for one in level}
        assert listed == {one.id for one in group.members if cooldown.available_at(one, self.io.now()) <= self.io.now()}
        for level in group.ready.values():
            assert [one.position for one in level] == list(range(len(level)))

    @invariant()
    def counts_are_right(self) -> None:
        for one in self.fleet.deployments.values():
            mine = [lease for lease in self.leases if lease.deployment is one]
            assert one.in_flight == len(mine)
            assert one.health.probing == any(lease.probe for lease in mine)
            assert sum(lease.probe for lease in mine) <= 1

    @invariant()
    def limits_hold(self) -> None:
        now = self.io.now()
        for one in self.fleet.deployments.values():
            assert one.spec.max_parallel_requests is None or one.in_flight <= one.spec.max_parallel_requests
            assert (one.limits is None) == (not one.spec.quotas and one.spec.provider not in BUDGETS)
            for name, (used, limit) in ({} if one.limits is None else one.limits.used(now)).items():
                assert 0 <= used <= limit, name


TestFleet = FleetMachine.TestCase
TestFleet.settings = settings(max_examples=150, stateful_step_count=60)
