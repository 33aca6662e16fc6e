"""The models of other routers: P2C over peak-EWMA, the oracle, and what holds for all of them."""

from itertools import pairwise
from random import Random

import pytest

from benchmarks.scorecard.engine import Engine
from benchmarks.scorecard.oracle import Oracle
from benchmarks.scorecard.peers import Accrual, Backoff, PeakEwma, RetryBudget
from benchmarks.scorecard.play import ORACLE, PEERS, play
from tests.benchmarks.small_scenarios import P2C, SECONDS, SHUFFLE, asked, scenario, shares
from turnout.sim.service import ServiceModel

# P2C over peak-EWMA


def test_a_cost_jumps_to_a_peak_and_decays_with_time() -> None:
    metric = PeakEwma()
    metric.observe(2.0, 0.0)
    metric.observe(8.0, 1.0)
    assert metric.cost == 8.0
    metric.observe(2.0, 11.0)
    assert metric.cost == pytest.approx(8.0 * 0.36788 + 2.0 * 0.63212, abs=1e-3)
    before = metric.cost
    metric.pending = 3
    assert metric.load(21.0) == pytest.approx(before * 0.36788 * 4, abs=1e-3)


def test_an_untried_region_is_preferred_until_it_has_a_request() -> None:
    known, new = PeakEwma(), PeakEwma()
    known.observe(2.0, 0.0)
    assert new.load(0.0) < known.load(0.0)
    new.pending = 1
    assert new.load(0.0) > known.load(0.0)


def test_accrual_takes_out_after_five_failures_and_lets_one_probe_in() -> None:
    accrual = Accrual(Random(0))
    for _ in range(4):
        accrual.failed(1.0)
    assert accrual.is_open(1.0)
    accrual.failed(1.0)
    assert [accrual.is_open(at) for at in (1.1, 5.9, 6.0)] == [False, False, True]
    accrual.sent()
    assert not accrual.is_open(6.1)
    accrual.failed(6.2)
    assert [accrual.is_open(at) for at in (11.1, 16.3)] == [False, True], "the second time it is 5 to 10 s"
    accrual.sent()
    accrual.succeeded(17.0)
    assert accrual.is_open(17.0)


def test_accrual_takes_out_below_four_fifths_of_successes() -> None:
    accrual = Accrual(Random(0))
    for at in range(29):
        (accrual.succeeded if at % 2 else accrual.failed)(float(at))
    assert accrual.is_open(29.0), "it was not watched for 30 s yet"
    accrual.failed(31.0)
    assert not accrual.is_open(31.0)


def test_a_probe_that_nobody_answered_is_another_probe() -> None:
    accrual = Accrual(Random(0), state="probe")
    accrual.sent()
    accrual.ignored()
    assert accrual.is_open(0.0)


def test_backoff_doubles_with_jitter_up_to_five_minutes() -> None:
    backoff = Backoff(Random(0))
    pauses = [backoff.next() for _ in range(12)]
    assert pauses[0] == 5.0
    assert all(5.0 * 2**at <= one <= 10.0 * 2**at for at, one in enumerate(pauses[1:6]))
    assert pauses[-1] == 300.0


def test_the_budget_is_a_fifth_of_requests_and_ten_a_second() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.deposit(0.0)
    assert sum(budget.withdraw(5.0) for _ in range(200)) == 120
    assert sum(budget.withdraw(10.1) for _ in range(200)) == 0
    assert sum(budget.withdraw(15.1) for _ in range(200)) == 100


def test_p2c_retries_elsewhere_and_leaves_an_outage_alone() -> None:
    outcomes = play(scenario("r1 unavailable 0s-1h", calls=300, every=0.5), P2C, 0)
    assert all(one.ok for one in outcomes)
    assert all(one.tries[-1].deployment != "r1" for one in outcomes)
    failed = sum(attempt.deployment == "r1" for one in outcomes for attempt in one.tries)
    assert 5 <= failed <= 12


def test_p2c_sends_nevertheless_if_nobody_is_open() -> None:
    outcomes = play(scenario("all unavailable 0s-1h", calls=60, every=1.0), P2C, 0)
    assert all(len(one.tries) == 3 for one in outcomes)


def test_p2c_prefers_what_is_fast_and_idle() -> None:
    models = {"slow": ServiceModel(factor=4.0), "fast": ServiceModel()}
    got = shares(play(scenario(calls=400, every=0.3, model=models), P2C, 0))
    assert got["fast"] > 2.5 * got["slow"]


# The oracle


def test_the_oracle_never_sends_to_who_fails() -> None:
    faults = ("r1 unavailable 0s-1h", "r2 errors 20% 0s-1h")
    outcomes = play(scenario(*faults, calls=60), ORACLE, 0)
    assert shares(outcomes) == {"r3": 60}
    assert all(len(one.tries) == 1 for one in outcomes)


def test_the_oracle_waits_for_the_end_of_an_outage() -> None:
    outcomes = play(scenario("all black-hole 0s-30s", calls=10), ORACLE, 0)
    assert all(one.ok and one.tries[0].at == 30.0 and len(one.tries) == 1 for one in outcomes)
    assert [one.waited for one in outcomes] == pytest.approx([30.0 - one.at for one in outcomes])


def test_the_oracle_gives_up_at_the_deadline() -> None:
    made = scenario("all down 0s-1h", calls=3)
    outcomes = play(made, ORACLE, 0)
    ended = [(one.seconds, one.error, one.tries) for one in outcomes]
    assert ended == [(made.deadline, "DeadlineExceededError", ())] * 3


def test_the_oracle_is_never_throttled_and_keeps_the_order() -> None:
    limited = ServiceModel(jitter=0.0, tpm=12_000.0, burst=10.0)
    outcomes = play(scenario(calls=40, every=0.5, regions=2, model=limited), ORACLE, 0)
    assert all(one.ok and len(one.tries) == 1 for one in outcomes)
    sent = [one.tries[0].at for one in outcomes]
    assert all(early <= late for early, late in pairwise(sent))
    assert outcomes[-1].waited == pytest.approx(0.0, abs=0.01)
    tight = ServiceModel(jitter=0.0, tpm=6000.0, burst=10.0)
    crowded = play(scenario(calls=60, every=0.5, regions=2, model=tight), ORACLE, 0)
    assert all(len(one.tries) == 1 for one in crowded)
    assert crowded[-1].waited > 10.0


def test_the_oracle_takes_who_will_be_done_first() -> None:
    models = {"slow": ServiceModel(jitter=0.0, factor=1.5), "fast": ServiceModel(jitter=0.0, concurrency=1)}
    outcomes = play(scenario(calls=3, every=0.1, model=models), ORACLE, 0)
    assert asked(outcomes) == [["fast"], ["slow"], ["slow"]]


def test_the_oracle_fills_places_without_queues_in_the_regions() -> None:
    sized = {"small": ServiceModel(concurrency=1), "large": ServiceModel(concurrency=3)}
    made = scenario(calls=200, every=0.62, model=sized)
    engine = Engine(made, 0)
    outcomes = engine.play([Oracle(engine)])
    assert all(one.ok for one in outcomes)
    assert max(one.tries[0].seconds for one in outcomes) < 3 * SECONDS


def test_the_oracle_repeats_what_a_brown_out_failed() -> None:
    outcomes = play(scenario("all errors 50% 0s-1h", calls=60, every=3.0), ORACLE, 0)
    assert all(one.ok for one in outcomes)
    assert 1.6 < sum(len(one.tries) for one in outcomes) / 60 < 2.6


# The engine

TROUBLES = {
    "none": (),
    "slow": ("r1 slow x10 20s-80s",),
    "brown-out": ("r1 errors 30% 20s-80s", "r2 cut 30% 20s-80s"),
    "holes": ("r1 black-hole 20s-80s", "r2 down 40s-60s"),
    "outage": ("all unavailable 30s-60s", "r3 auth-expired 60s-90s"),
    "throttled": ("all throttled 30s-40s", "r2 overloaded 50s-70s", "all capacity 30% 60s-90s"),
}
MODELS = {
    "open": ServiceModel(),
    "places": ServiceModel(concurrency=6),
    "limits": ServiceModel(tpm=20_000.0, rpm=120.0, output_tokens_per_second=400.0),
}


@pytest.mark.parametrize("peer_name", PEERS)
@pytest.mark.parametrize("model", MODELS)
def test_every_call_ends_once_and_nothing_is_left(peer_name: str, model: str) -> None:
    for faults in TROUBLES.values():
        made = scenario(*faults, calls=300, every=0.4, model=MODELS[model], mistakes=0.05, joins={"r3": 50.0})
        engine = Engine(made, 3)
        peers = [PEERS[peer_name](engine, Random(at)) for at in range(2)]
        outcomes = engine.play(peers)
        assert [one.at for one in outcomes] == [one.at for one in made.arrivals]
        for one in outcomes:
            assert 0.0 <= one.seconds <= made.deadline + 1e-6
            assert one.ok == (one.error is None)
            assert all(early.at + early.seconds <= late.at + 1e-6 for early, late in pairwise(one.tries))
            assert [attempt.outcome == "ok" for attempt in one.tries].count(True) == one.ok
            assert one.waited <= one.seconds + 1e-6
            assert all(attempt.at >= 50.0 for attempt in one.tries if attempt.deployment == "r3")
        for service in engine.services.values():
            assert service.under_way == 0
            assert service.slots is None or (service.slots.working, len(service.slots.waiting)) == (0, 0)


@pytest.mark.parametrize("peer_name", PEERS)
def test_a_seed_is_a_run(peer_name: str) -> None:
    made = scenario("r1 errors 30% 0s-1h", calls=150, every=0.4, model=ServiceModel(), mistakes=0.05)
    first = play(made, peer_name, 1)
    assert play(made, peer_name, 1) == first
    assert play(made, peer_name, 2) != first


def test_outcomes_say_whose_fault_it_was() -> None:
    faults = (
        "r1 unavailable 0s-1s",
        "r1 throttled 1s-2s",
        "r1 overloaded 2s-3s",
        "r1 down 3s-4s",
        "r1 black-hole 4s-9s",
    )
    outcomes = play(scenario(*faults, calls=5, regions=1), P2C, 0)
    assert [one.tries[0].outcome for one in outcomes] == [
        "deployment", "throttle", "provider", "deployment", "deployment",
    ]  # fmt: skip
    assert [one.tries[0].seconds for one in outcomes] == pytest.approx([0.05, 0.05, 0.05, 0.0, 30.0])


def test_a_cut_answer_ends_in_its_middle() -> None:
    outcomes = play(scenario("r1 cut 100% 0s-1h", calls=30, every=20.0, regions=1), SHUFFLE, 0)
    seconds = [attempt.seconds for one in outcomes for attempt in one.tries]
    assert len(seconds) == 90
    assert 0.36 < min(seconds) < max(seconds) < SECONDS
    assert {one.error for one in outcomes} == {"APIConnectionError"}


def test_calls_wait_their_turn_and_leave_the_line_when_given_up() -> None:
    one_place = ServiceModel(jitter=0.0, concurrency=1, factor=10.0)
    outcomes = play(scenario(calls=3, every=0.0, regions=1, model=one_place), P2C, 0)
    assert outcomes[0].seconds == pytest.approx(SECONDS * 10)
    # both others are given up after 30 s, one in its work and one in line, and try again in this order
    assert [attempt.seconds for attempt in outcomes[1].tries] == pytest.approx([30.0, SECONDS * 10])
    assert [attempt.seconds for attempt in outcomes[2].tries] == pytest.approx([30.0, 30.0])
    assert [one.ok for one in outcomes] == [True, True, False]


def test_workers_know_nothing_of_each_other() -> None:
    faults = ("r1 unavailable 0s-1h",)
    alone = play(scenario(*faults, calls=200, every=0.5), P2C, 0)
    four = play(scenario(*faults, calls=200, every=0.5, workers=4), P2C, 0)
    failures = [sum(len(one.tries) - 1 for one in outcomes) for outcomes in (alone, four)]
    assert failures[1] >= 4 * 5 > failures[0]


def test_the_oracle_is_one_for_all_workers() -> None:
    made = scenario(calls=30, every=0.3, model=ServiceModel(concurrency=2, jitter=0.0))
    workers = scenario(calls=30, every=0.3, model=ServiceModel(concurrency=2, jitter=0.0), workers=4)
    assert play(workers, ORACLE, 0) == play(made, ORACLE, 0)
