"""What is done for a call whose account is not available: the order of steps, without sockets."""

from math import inf

import pytest

from turnout.engine.leases import Blocked
from turnout.engine.pins import pin_step
from turnout.policies import PIN_STEPS

LIMIT = 10.0
SOON = Blocked(until=5.0, waitable=True)
LATE = Blocked(until=50.0, waitable=True)
PLACE = Blocked(until=inf, waitable=True)
RESTING = Blocked(until=5.0, waitable=True, resting=True)
UNFIT = Blocked(resting=True)


@pytest.mark.parametrize(
    ("steps", "blocked", "movable", "expected"),
    [
        (PIN_STEPS, SOON, True, "wait"),
        (PIN_STEPS, LATE, True, "replay"),
        (PIN_STEPS, PLACE, True, "replay"),
        (PIN_STEPS, RESTING, True, "replay"),
        (PIN_STEPS, UNFIT, True, "replay"),
        (PIN_STEPS, SOON, False, "wait"),
        (PIN_STEPS, LATE, False, "wait"),
        (PIN_STEPS, PLACE, False, "wait"),
        (PIN_STEPS, RESTING, False, "wait"),
        (("peer", "replay", "wait"), SOON, True, "replay"),
        (("peer", "replay", "wait"), SOON, False, "wait"),
        (("wait", "fail"), RESTING, True, "fail"),
        (("wait",), RESTING, False, "fail"),
        (("probe",), RESTING, False, "wait"),
        (("probe",), SOON, False, "fail"),
        (("replay", "fail"), RESTING, False, "fail"),
        (("fail",), SOON, True, "fail"),
        ((), SOON, True, "fail"),
    ],
)
def test_the_first_step_that_is_possible_is_taken(steps: tuple, blocked: Blocked, movable: bool, expected: str) -> None:
    assert pin_step(steps, blocked, LIMIT, movable=movable) == expected
