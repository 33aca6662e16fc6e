"""What finding out costs at least: when the scout notices a fault, whom it sends, and what it believes."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from benchmarks.scorecard import __main__ as scorecard
from benchmarks.scorecard.engine import Engine
from benchmarks.scorecard.runs import Run, Wanted, make
from benchmarks.scorecard.scout import SCOUTED, SCOUTS, Scout
from tests.benchmarks.small_scenarios import SECONDS, asked, scenario, shares
from turnout.sim.record import Outcome

EVERY = 20.0


def played(*faults: str, **more: Any) -> list[Outcome]:
    engine = Engine(scenario(*faults, **more), seed=1)
    return engine.play([Scout(EVERY, engine, Random(1))])


def sent_to(region: str, outcomes: list[Outcome]) -> list[float]:
    return [one.at for one in outcomes for attempt in one.tries if attempt.deployment == region]


def test_while_all_is_well_regions_share_the_calls() -> None:
    assert set(shares(played(calls=30, every=0.1)).values()) == {10}


def test_an_outage_that_says_so_is_noticed_by_one_call_and_nobody_is_lost() -> None:
    found = played("r1 unavailable 10s-100s", calls=400, every=0.25)
    assert all(one.ok for one in found)
    first, *later = [at for at in sent_to("r1", found) if 10.0 <= at < 100.0]
    assert first < 11.0
    assert later[0] - first <= EVERY + 0.25, "by chance sooner"
    assert all(after - before == pytest.approx(EVERY, abs=0.25) for before, after in pairwise(later))
    assert max(len(names) for names in asked(found)) == 2, "a second attempt goes elsewhere"


def test_silence_is_noticed_when_the_first_answer_is_late_and_not_before() -> None:
    found = played("r1 black-hole 10s-200s", calls=800, every=0.25, attempt_timeout=30.0)
    at = [one for one in sent_to("r1", found) if 10.0 <= one < 200.0]
    caught = [one for one in at if one < at[0] + SECONDS]
    assert caught[-1] - at[0] > SECONDS - 1.0, "it gets its share until then"
    assert len(caught) <= SECONDS / 0.75 + 1.0
    assert len(at) - len(caught) == pytest.approx((190.0 - SECONDS) / EVERY, abs=1.0)


def test_a_slow_region_is_a_fault() -> None:
    usual = sent_to("r1", played(calls=400, every=0.25))
    slow = sent_to("r1", played("r1 slow x10 10s-100s", calls=400, every=0.25))
    assert len(usual) == pytest.approx(400 / 3, rel=0.1)
    assert len([at for at in slow if at < 10.0]) == len([at for at in usual if at < 10.0])
    assert len([at for at in slow if at >= 10.0]) <= SECONDS / 0.75 + 90.0 / EVERY + 2


def test_the_end_of_a_fault_is_found_by_the_next_call_that_is_sent() -> None:
    found = played("r1 unavailable 10s-51s", calls=800, every=0.25)
    back = [at for at in sent_to("r1", found) if at >= 51.0]
    assert back[0] - 51.0 <= EVERY + 0.25
    assert back[1] - back[0] <= 1.0, "and is believed at once"


def test_scouts_are_played_like_other_routers() -> None:
    wanted = Wanted("conv", 3, 20.0, 0.0)
    often, seldom = (make(wanted, Run(5, name, 1))[1] for name in (min(SCOUTS, key=pace), max(SCOUTS, key=pace)))
    assert often.failed > 2 * seldom.failed


def pace(name: str) -> float:
    return float(name.split()[-2])


def test_their_gates_are_printed_for_each_pace(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenario", "10", "--seeds", "1", "--workers", "1", "--trace", "conv", "--fault-at", "20"]
    assert scorecard.main([*arguments, "--scouts"]) == 0
    told = capsys.readouterr().out
    (row,) = (line for line in told.splitlines() if "one call in 30 s" in line)
    assert " !" in row, "so many calls fail more than the gates allow"
    assert all(name in told for name in SCOUTS)
    assert SCOUTED == (2, 5, 6)
