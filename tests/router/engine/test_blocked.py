"""What is hopeless to wait for, as a pure function of the fleet's state."""

from math import inf
from random import Random
from typing import Any

import pytest

from tests.router.engine.test_queues import Bell, row
from turnout.config import parse_model_list
from turnout.context import Call
from turnout.deployment import Deployment
from turnout.engine.blocked import together
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Blocked, Destination, Tries
from turnout.limits.upstream import Remaining
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import SimpleShuffle

CALL = Call("create", "gpt", {"input": "x"}, 0.0, 600.0)
NOW = 10.0


def fleet_of(**params: Any) -> tuple[Fleet, Deployment]:
    fleet = Fleet(SimpleShuffle(), (), CooldownPolicy(), BudgetPolicy(), WaitPolicy())
    (spec,) = parse_model_list([row("a", **params)], {})
    return fleet, fleet.add(spec, 0.0)


def blocked(fleet: Fleet, tries: Tries | None = None, *, panic: bool = True) -> Blocked:
    found = fleet.choose(Destination(fleet.groups["gpt"]), CALL, tries or Tries(), NOW, Random(1), panic=panic)
    assert isinstance(found, Blocked)
    return found


def change(fleet: Fleet, one: Deployment, **values: Any) -> None:
    def apply() -> list[str]:
        for name, value in values.items():
            setattr(one.health, name, value)
        return [one.id]

    fleet.update(apply, NOW)


def test_a_throttle_is_over_at_its_time_and_no_sooner() -> None:
    fleet, one = fleet_of()
    change(fleet, one, throttled_until=500.0)
    found = blocked(fleet)
    assert (found.never_before, found.scarce, found.waitable) == (500.0, True, True)


def test_a_rest_may_end_with_any_probe() -> None:
    fleet, one = fleet_of()
    change(fleet, one, open_until=500.0, failures=5, probing=True)
    found = blocked(fleet)
    assert (found.never_before, found.scarce) == (0.0, False)
    change(fleet, one, throttled_until=300.0)
    assert blocked(fleet).never_before == 300.0


def test_a_place_may_become_free_at_any_time() -> None:
    fleet, _ = fleet_of(max_parallel_requests=1)
    fleet.choose(Destination(fleet.groups["gpt"]), CALL, Tries(), NOW, Random(1))
    found = blocked(fleet)
    assert (found.never_before, found.scarce) == (0.0, False)


@pytest.mark.parametrize("in_flight", [0, 1])
def test_a_full_window_may_get_room_while_somebody_is_under_way(in_flight: int) -> None:
    fleet, one = fleet_of(rpm=1)
    assert one.limits is not None
    fleet.choose(Destination(fleet.groups["gpt"]), CALL, Tries(), NOW, Random(1))
    one.in_flight = in_flight
    found = blocked(fleet)
    assert found.scarce
    assert (found.never_before > 60.0) == (in_flight == 0)


def test_what_the_provider_has_left_counts_too() -> None:
    fleet, one = fleet_of(rpm=100)
    assert one.limits is not None
    one.limits.upstream = {"requests": Remaining(0, 400.0)}
    fleet.update(lambda: ["a"], NOW)
    assert blocked(fleet).never_before == 400.0


def test_a_pause_of_the_call_itself_is_no_lack_of_capacity() -> None:
    fleet, _ = fleet_of()
    found = blocked(fleet, Tries(again_at={"a": 900.0}, made=1))
    assert (found.never_before, found.scarce, found.private) == (900.0, False, True)
    found = blocked(fleet, Tries(barred={"a"}, again_at={"a": 900.0}, made=1))
    assert (found.never_before, found.scarce, found.waitable) == (inf, False, False)


def test_behind_others_a_call_learns_only_what_no_turn_can_change() -> None:
    fleet, one = fleet_of()
    change(fleet, one, throttled_until=500.0)
    fleet.join(Destination(fleet.groups["gpt"]), CALL, Bell(0, []))
    found = blocked(fleet)
    assert (found.until, found.never_before, found.waitable, found.private) == (inf, 500.0, True, False)
    change(fleet, one, throttled_until=0.0)
    found = blocked(fleet)
    assert (found.never_before, found.reasons) == (0.0, {"gpt": "other calls are waiting"})


@pytest.mark.parametrize(
    ("others", "never_before", "scarce"),
    [
        ([], 500.0, True),
        ([Blocked(never_before=300.0, scarce=True)], 300.0, True),
        ([Blocked(never_before=0.0)], 0.0, False),
        ([Blocked(never_before=inf)], 500.0, True),
        ([Blocked(never_before=900.0)], 500.0, False),
    ],
)
def test_groups_that_may_serve_a_call_are_looked_at_together(
    others: list[Blocked], never_before: float, scarce: bool
) -> None:
    found = together(Blocked(until=500.0, never_before=500.0, scarce=True, waitable=True), others)
    assert (found.never_before, found.scarce, found.waitable, found.until) == (never_before, scarce, True, 500.0)
