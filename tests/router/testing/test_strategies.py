"""Our strategies keep the rules, and each rule catches a strategy that breaks it."""

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from turnout import Call, Deployment, Pick
from turnout.context import Observation
from turnout.protocols import Strategy
from turnout.strategies import STRATEGIES, LatencyBased, LeastBusy, SimpleShuffle
from turnout.testing import STRATEGY_RULES, check_strategy

Candidates = Sequence[Deployment]


@pytest.mark.parametrize("rule", STRATEGY_RULES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_our_own(name: str, rule: str) -> None:
    STRATEGY_RULES[rule](STRATEGIES[name])


class Broken(SimpleShuffle):
    """Right, but for what a subclass does."""

    def at_random(self, candidates: Candidates, pick: Pick) -> Deployment:
        return super().pick(candidates, pick)


class PicksNone(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Any:
        return None


class RemembersByName(Broken):
    """Returns the object of the first time it saw an id."""

    def __init__(self) -> None:
        self.known: dict[str, Deployment] = {}

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        chosen = self.at_random(candidates, pick)
        return self.known.setdefault(chosen.id, chosen)


class WantsAList(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return self.at_random(candidates.copy(), pick)


class ReadsTheBody(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        assert pick.call.body["input"]
        return self.at_random(candidates, pick)


class Sorts(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        if isinstance(candidates, list):
            candidates.sort(key=lambda one: one.in_flight, reverse=True)
        return self.at_random(candidates, pick)


class Counts(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        chosen = self.at_random(candidates, pick)
        chosen.in_flight += 1
        return chosen


class Doctors(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        candidates[0].health.failures = 0
        return self.at_random(candidates, pick)


class Sleeps(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        time.sleep(0)
        return self.at_random(candidates, pick)


class WaitsForAnEvent(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        threading.Event().wait(0)
        return self.at_random(candidates, pick)


class ReadsAFile(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        with open(__file__) as file:
            file.readline()
        return self.at_random(candidates, pick)


class RunsALoop(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        asyncio.run(asyncio.sleep(0))
        return self.at_random(candidates, pick)


class AsksTheClock(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        assert time.monotonic() > 0
        return self.at_random(candidates, pick)


class HasChanceOfItsOwn(Broken):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return random.choice(candidates)


class TakesTheFirst(Broken):
    """Least busy, and the first of equals."""

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return min(candidates, key=lambda one: one.in_flight)


class TakesTheFirstWhenBusy(LeastBusy):
    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return candidates[0] if any(one.in_flight > 1 for one in candidates) else super().pick(candidates, pick)


class OneCounterForAll(Broken):
    """Round robin, whose counter all model groups share."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return candidates[next(self.count) % len(candidates)]


class NeverTriesTheNew(Broken):
    """The best known one; those it does not know come last."""

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        known = [one for one in candidates if one.latency.unary is not None]
        return self.at_random(known or candidates, pick)


class KeepsWhoWasThere(Broken):
    """A list of the first candidates it saw of a group."""

    def __init__(self) -> None:
        self.first: dict[str, Candidates] = {}

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        return self.at_random(self.first.setdefault(pick.call.model, list(candidates)), pick)


class LatencyForEver(LatencyBased):
    """The lowest average ever measured, however old."""

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        fresh = [one for one in candidates if one.latency.unary is None]
        return fresh[0] if fresh else min(candidates, key=lambda one: one.latency.unary or 0.0)


class HasThreadsOfItsOwn(Broken):
    def __init__(self) -> None:
        self.local = threading.local()
        self.local.picks = 0

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        self.local.picks += 1
        return self.at_random(candidates, pick)


class Learning(Broken):
    """Right, with hooks."""

    def started(self, deployment: Deployment, call: Call, now: float) -> None:
        deployment.learned = (deployment.learned or 0) + 1

    def answering(self, deployment: Deployment, token: object, now: float) -> None:
        pass

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        deployment.learned -= 1


class LearnsOfItsOwnOnly(Learning):
    """Knows no deployment but those that it picked itself."""

    def __init__(self) -> None:
        self.under_way: dict[str, int] = {}

    def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
        chosen = self.at_random(candidates, pick)
        self.under_way.setdefault(chosen.id, 0)
        return chosen

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        self.under_way[deployment.id] += 1


class WantsTokens(Learning):
    def finished(self, deployment: Deployment, seen: Observation) -> None:
        deployment.learned = seen.tokens_in + seen.tokens_out


class CountsAgain(Learning):
    def finished(self, deployment: Deployment, seen: Observation) -> None:
        deployment.in_flight -= 1


class LearnsSlowly(Learning):
    def finished(self, deployment: Deployment, seen: Observation) -> None:
        time.sleep(0)


MUTANTS: dict[str, tuple[Callable[[], Strategy], ...]] = {
    "picks_one_of_the_candidates": (PicksNone, RemembersByName, WantsAList, ReadsTheBody),
    "changes_nothing": (Sorts, Counts, Doctors),
    "does_not_wait_or_ask_a_clock": (Sleeps, WaitsForAnEvent, ReadsAFile, RunsALoop, AsksTheClock),
    "is_replayed_by_the_same_seed": (HasChanceOfItsOwn,),
    "shares_calls_among_equals": (TakesTheFirst, TakesTheFirstWhenBusy),
    "keeps_groups_apart": (OneCounterForAll,),
    "finds_who_joins_and_forgets_who_left": (NeverTriesTheNew, KeepsWhoWasThere, RemembersByName),
    "returns_to_one_that_was_slow": (LatencyForEver,),
    "learns_from_every_end": (LearnsOfItsOwnOnly, WantsTokens, CountsAgain, LearnsSlowly),
    "works_from_any_thread": (HasThreadsOfItsOwn,),
}
PAIRS = [(rule, mutant) for rule, mutants in MUTANTS.items() for mutant in mutants]


@pytest.mark.parametrize(("rule", "mutant"), PAIRS, ids=[f"{rule}-{mutant.__name__}" for rule, mutant in PAIRS])
def test_a_rule_catches_who_breaks_it(rule: str, mutant: Callable[[], Strategy]) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_strategy_by(rule, mutant)


def check_strategy_by(rule: str, mutant: Callable[[], Strategy]) -> None:
    from turnout.testing.rules import check_all

    check_all({rule: STRATEGY_RULES[rule]}, mutant)


def test_every_rule_has_a_mutant_and_hooks_that_are_right_break_none() -> None:
    assert set(MUTANTS) == set(STRATEGY_RULES)
    check_strategy(Learning)


def test_all_broken_rules_are_named_at_once() -> None:
    with pytest.raises(AssertionError) as caught:
        check_strategy(Sleeps)
    assert str(caught.value).splitlines() == [
        "does_not_wait_or_ask_a_clock: the strategy calls time.sleep(): it is called under the Router's lock"
    ]
    with pytest.raises(AssertionError) as caught:
        check_strategy(PicksNone)
    assert len(str(caught.value).splitlines()) > 3


def test_rows_can_be_the_users_own() -> None:
    """A strategy that looks at something the plain rows do not have."""

    class ByZone(Broken):
        def pick(self, candidates: Candidates, pick: Pick) -> Deployment:
            nearest = min(one.spec.model_info["zone"] for one in candidates)
            near = [one for one in candidates if one.spec.model_info["zone"] == nearest]
            return self.at_random(near, pick)

    def row(group: str, number: int) -> dict[str, Any]:
        info = {"id": f"{group}/{number}", "zone": 3}
        return {"model_name": group, "params": {"model": "openai/m", "api_key": "k"}, "model_info": info}

    check_strategy(ByZone, row)
    with pytest.raises(AssertionError, match="raised KeyError: 'zone'"):
        check_strategy(ByZone)
