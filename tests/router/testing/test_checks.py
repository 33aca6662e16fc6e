"""Our pre-call checks keep the rules, and each rule catches a check that breaks it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from turnout import Call, Deployment, ModelGroup
from turnout.checks import AllowedRegion, ContextWindow, Tags
from turnout.protocols import PreCallCheck
from turnout.testing import CHECK_RULES, check_pre_call_check
from turnout.testing.checks import CALLS, ROWS
from turnout.testing.rules import check_all
from turnout.testing.traffic import deployments_of


@pytest.mark.parametrize("rule", CHECK_RULES)
@pytest.mark.parametrize("check", [AllowedRegion, ContextWindow, Tags])
def test_our_own(check: type[PreCallCheck], rule: str) -> None:
    CHECK_RULES[rule](check)


@pytest.mark.parametrize("check", [AllowedRegion, ContextWindow, Tags])
def test_the_plain_rows_and_calls_give_each_of_ours_something_to_reject_and_to_let_pass(check: type[Any]) -> None:
    said = [check().reject(one, call) for one in deployments_of(ROWS) for call in CALLS]
    assert None in said
    assert any(said)


class SaysFalse:
    def reject(self, deployment: Deployment, call: Call) -> Any:
        return False


class SaysNothing:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        return ""


class SaysALot:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        return "unfit\nTraceback: ..."


class Alternates:
    def __init__(self) -> None:
        self.asked = 0

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        self.asked += 1
        return "every other" if self.asked % 2 else None


class RejectsWhoComesAgain:
    def __init__(self) -> None:
        self.seen: set[str] = set()

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        known = deployment.id in self.seen
        self.seen.add(deployment.id)
        return "seen" if known else None


class MarksTheDeployment:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        deployment.health.throttled_until = 5.0
        return None


class MarksTheCall:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        call.body["checked"] = True
        return None


class EmptiesTheGroup(Tags):
    def applies(self, call: Call, group: ModelGroup) -> bool:
        group.members.pop()
        return False


class AppliesToNothing(Tags):
    def applies(self, call: Call, group: ModelGroup) -> bool:
        return False


class LooksAtTheFirst(ContextWindow):
    def applies(self, call: Call, group: ModelGroup) -> bool:
        return group.members[0].spec.max_input_tokens is not None


class ShowsItsHeaders:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        return f"not with {deployment.spec.target.headers}"


class Sleeps:
    def reject(self, deployment: Deployment, call: Call) -> str | None:
        time.sleep(0)
        return None


class SleepsWhenAsked(Tags):
    def applies(self, call: Call, group: ModelGroup) -> bool:
        time.sleep(0)
        return True


class KnowsItsThread:
    def __init__(self) -> None:
        self.home = threading.get_ident()

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        return None if threading.get_ident() == self.home else "another thread"


MUTANTS: dict[str, tuple[Callable[[], PreCallCheck], ...]] = {
    "gives_a_reason_or_none": (SaysFalse, SaysNothing, SaysALot),
    "says_the_same_again": (Alternates, RejectsWhoComesAgain),
    "changes_nothing": (MarksTheDeployment, MarksTheCall, EmptiesTheGroup),
    "rejects_nothing_where_it_does_not_apply": (AppliesToNothing, LooksAtTheFirst),
    "tells_no_secret": (ShowsItsHeaders,),
    "does_not_wait": (Sleeps, SleepsWhenAsked),
    "works_from_any_thread": (KnowsItsThread,),
}
PAIRS = [(rule, mutant) for rule, mutants in MUTANTS.items() for mutant in mutants]


@pytest.mark.parametrize(("rule", "mutant"), PAIRS, ids=[f"{rule}-{mutant.__name__}" for rule, mutant in PAIRS])
def test_a_rule_catches_who_breaks_it(rule: str, mutant: Callable[[], PreCallCheck]) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_all({rule: CHECK_RULES[rule]}, mutant, ROWS, CALLS)
    with pytest.raises(AssertionError, match=f"(?m)^{rule}: "):
        check_pre_call_check(mutant)


def test_every_rule_has_a_mutant() -> None:
    assert set(MUTANTS) == set(CHECK_RULES)


def test_a_clock_may_be_read() -> None:
    """Office hours are a reason."""

    class Never:
        def reject(self, deployment: Deployment, call: Call) -> str | None:
            return None if time.time() > 0 else "before 1970"

    check_pre_call_check(Never)
