"""What is known of attempts under way and of load: nothing is left of any attempt, however it begins and ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.router.strategies.world import World, warm
from turnout.engine.leases import Lease
from turnout.strategies.adaptive import _Begun
from turnout.strategies.standing import Standing

steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "stream", "output", "answer", "fail", "cancel", "wait", "leave", "again"]),
        st.integers(0, 50),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps)
def test_attempts_leave_no_trace_in_whatever_order_they_begin_and_end(steps: list[tuple[str, int]]) -> None:
    world, leases, seen = World("a", "b", enabled=False), list[Lease](), list[Standing]()

    def end(lease: Lease, how: str) -> None:
        {"answer": world.answer, "fail": world.fail}.get(how, world.cancel)(lease)

    for step, number in steps:
        if step in ("begin", "stream") and len(world.fleet.deployments):
            leases.append(world.begin(stream=step == "stream"))
            seen.append(leases[-1].deployment.learned)
        elif step == "output" and leases:
            lease = leases[number % len(leases)]
            if isinstance(lease.token, _Begun) and lease.token.stream and lease.first_event is None:
                world.first_output(lease)
        elif step in ("answer", "fail", "cancel") and leases:
            end(leases.pop(number % len(leases)), step)
        elif step == "wait":
            world.advance(number / 5)
        elif step == "leave" and number % 2:
            world.fleet.remove("a", world.time)
        elif step == "again" and "a" not in world.fleet.deployments:
            world.join("a")
        for known in seen:
            for pending in (known.unary, known.streamed):
                assert 0 <= len(pending.fresh) <= pending.count
    for number, lease in enumerate(leases):
        end(lease, ("answer", "fail", "cancel")[number % 3])
        end(lease, "cancel")
    for known in seen:
        for pending in (known.unary, known.streamed):
            assert (pending.count, pending.starts, list(pending.fresh)) == (0, 0.0, [])


def test_what_is_given_up_says_nothing() -> None:
    world = warm("a", "b")
    world.advance(60.0)
    sums = [(one.ratios, one.answers, one.attempts, one.failures) for one in map(world.known, "ab")]
    leases = [world.begin(stream=number % 2 == 0) for number in range(10)]
    world.first_output(leases[0])
    world.advance(100.0)
    assert world.badness("a") > 10.0
    for lease in leases:
        world.cancel(lease)
    assert [(one.ratios, one.answers, one.attempts, one.failures) for one in map(world.known, "ab")] == sums
    assert world.badness("a") == pytest.approx(1.0, rel=0.2)


def test_an_answer_takes_what_began_before_it_out_of_what_is_overdue() -> None:
    """Only those that began after every answered one can say that the deployment has gone silent since."""
    world = warm("a", "b")
    world.advance(60.0)
    leases: list[Lease] = []
    for _ in range(5):
        leases.append(world.begin_on("a"))
        world.advance(1.0)
    pending = world.known("a").unary
    assert list(pending.fresh) == [lease.started for lease in leases]
    world.answer(leases[1])
    assert list(pending.fresh) == [lease.started for lease in leases[2:]]
    world.cancel(leases[3])
    assert list(pending.fresh) == [leases[2].started, leases[4].started]
    world.answer(leases[0])
    assert list(pending.fresh) == [leases[2].started, leases[4].started]
    assert pending.count == 2


def test_one_that_gets_slow_teaches_no_exponent_though_it_carries_more_then() -> None:
    world = warm("a", "b", "c")
    world.natures["b"].factor = 10.0
    world.run(2000, 0.05)
    assert world.known("b").answers > 0
    assert world.group.exponent < 0.1
