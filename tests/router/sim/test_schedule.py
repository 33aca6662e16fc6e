"""Faults as text, and the schedule that they make."""

import asyncio
from math import inf

import pytest

from turnout.errors import ConfigError
from turnout.sim.clock import run
from turnout.sim.schedule import FAULTS, Change, ScheduledFault, changes, follow, parse_fault, parse_seconds
from turnout.sim.service import Conditions, Service


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("eastus down 10m-20m", ScheduledFault(("eastus",), "down", 600, 1200)),
        ("westus slow x10 600s-20m", ScheduledFault(("westus",), "slow", 600, 1200, 10)),
        ("a,b unavailable 0-1h30m", ScheduledFault(("a", "b"), "unavailable", 0, 5400)),
        ("all errors 20% 90-", ScheduledFault(("all",), "errors", 90, inf, 0.2)),
        ("a capacity 50% 1h-1h0m1s", ScheduledFault(("a",), "capacity", 3600, 3601, 0.5)),
        ("a skew 90s 0.5-1.5", ScheduledFault(("a",), "skew", 0.5, 1.5, 90)),
    ],
)
def test_faults_are_read(text: str, fault: ScheduledFault) -> None:
    assert parse_fault(text) == fault
    assert text.startswith(str(fault).split()[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("eastus", "is not `regions fault"),
        ("eastus explodes 1m-2m", "the fault is one of down, unavailable, black-hole"),
        ("eastus down 2 1m-2m", "'down' takes no amount"),
        ("eastus slow 1m-2m", "'slow' needs an amount, such as 20%, x10 or 90s"),
        ("eastus slow fast 1m-2m", "'fast' is no amount"),
        ("eastus down 2m-1m", "'2m-1m' is no span of time"),
        ("eastus down 2m", "'2m' is no span of time"),
        ("eastus down soon-2m", "'soon' is no time, such as 90s, 10m or 1h30m"),
        ("eastus down -2m", "'' is no time"),
        ("eastus down 2ms-3m", "'2ms' is no time"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match="--fault: ") as caught:
        parse_fault(text, "--fault")
    assert problem in caught.value.message


def test_seconds() -> None:
    assert [parse_seconds(one, "x") for one in ("90", "90s", "10m", "1h30m", "1h5s", "0.5")] == [
        90, 90, 600, 5400, 3605, 0.5,
    ]  # fmt: skip


def test_every_fault_sets_a_condition_that_there_is() -> None:
    usual = Conditions()
    for name, (condition, _) in FAULTS.items():
        amount = "" if isinstance(getattr(usual, condition), bool) else "3 "
        (begins, ends) = changes([parse_fault(f"a {name} {amount}1s-2s")], ["a"])
        service = Service("a")
        service.change(begins.condition, begins.value)
        assert service.conditions != usual
        service.change(ends.condition, ends.value)
        assert service.conditions == usual


def test_of_faults_that_overlap_the_latest_holds() -> None:
    faults = [
        parse_fault(one) for one in ("a slow x2 0-100s", "all slow x5 10s-20s", "a down 15s-30s", "a down 20s-40s")
    ]
    assert changes(faults, ["a", "b"]) == [
        Change(0, "a", "slowdown", 2),
        Change(10, "a", "slowdown", 5),
        Change(10, "b", "slowdown", 5),
        Change(15, "a", "refused", value=True),
        Change(20, "a", "slowdown", 2),
        Change(20, "b", "slowdown", 1),
        Change(40, "a", "refused", value=False),
        Change(100, "a", "slowdown", 1),
    ]


def test_a_region_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="there is no region 'eastsu'; there are eastus, westus"):
        changes([parse_fault("eastsu down 1-2")], ["eastus", "westus"])


def test_changes_are_made_when_their_time_comes() -> None:
    services = {"a": Service("a")}
    seen: list[tuple[float, str, float | bool]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(5)
        planned = changes([parse_fault("a down 10s-"), parse_fault("a slow 3 0-20s")], ["a"])
        await follow(planned, services, lambda change: seen.append((loop.time(), change.condition, change.value)))

    run(main())
    assert seen == [(5, "slowdown", 3), (15, "refused", True), (25, "slowdown", 1)]
    assert services["a"].conditions.refused
