"""What is done for a call whose account is not available. Pure."""

from collections.abc import Sequence
from typing import Literal

from turnout.engine.leases import Blocked
from turnout.policies import PinStep


def pin_step(
    steps: Sequence[PinStep], blocked: Blocked, limit: float, *, movable: bool
) -> Literal["wait", "replay", "fail"]:
    """The first step of the list that is possible now. Peers on the account, and a probe that is due, were tried.

    wait: the account says when it takes calls again (a Retry-After, a limit's window), and that is before `limit`.
    probe: its breaker is open, and the call waits to be the probe; not where it can be continued elsewhere instead.
    replay: there is a transcript (`movable`). fail: nothing of this.
    """
    elsewhere = movable and "replay" in steps
    for step in steps:
        if step == "wait" and not blocked.resting and blocked.waitable and (blocked.until <= limit or not elsewhere):
            return "wait"
        if step == "probe" and blocked.resting and not elsewhere:
            return "wait"
        if step == "replay" and movable:
            return "replay"
        if step == "fail":
            break
    return "fail"
