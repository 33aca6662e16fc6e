"""The traffic that scenarios are made of, and what regions are sized for."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scorecard.runs import Wanted, setting
from benchmarks.scorecard.scenarios import FAULT_SECONDS, SCENARIOS, Setting, nominal
from turnout.errors import ConfigError
from turnout.sim.traffic import Arrival


def test_regions_suffice_for_the_mean_and_for_the_busiest_minute() -> None:
    """A call of 100 tokens each way takes over 2 s; the calls before and after the fault do not count."""
    size, seconds = (100, 100), nominal(Arrival(0.0, 100, 100))
    steady = Setting([Arrival(at / 2, *size) for at in range(4000)])
    assert steady.calls_under_way() == pytest.approx(1.4 * 2 * seconds)
    assert steady.tokens_per_minute() == pytest.approx(1.8 * 120 * 200)
    rush = [Arrival(480.0 + at / 10, *size) for at in range(600)]
    peaked = Setting([*steady.traffic, *rush])
    assert peaked.calls_under_way() == pytest.approx(1.2 * 12 * seconds)
    assert peaked.tokens_per_minute() == pytest.approx(720 * 200)
    in_a_burst = Setting([*steady.traffic, *(replace(one, at=one.at + 60.0) for one in rush)])
    assert in_a_burst.tokens_per_minute() == pytest.approx((720 + 3 * 15 * 12) * 200, rel=0.01)
    assert Setting([Arrival(10.0, *size), Arrival(1200.0, *size)]).calls_under_way() == 0


def test_a_seed_moves_calls_and_keeps_their_sizes() -> None:
    made = Setting([Arrival(at / 2, at % 700, at % 90) for at in range(600)])
    one, two = made.with_seed(1), made.with_seed(2)
    assert made.with_seed(0) is made
    assert made.with_seed(1) == one
    assert [each.at for each in one.traffic] != [each.at for each in two.traffic]
    sizes = [sorted((each.prompt_tokens, each.output_tokens) for each in of.traffic) for of in (made, one, two)]
    assert sizes[0] == sizes[1] == sizes[2]
    assert all(each.at >= 0 for each in one.traffic)


def test_the_warm_up_of_a_trace_is_left_out_and_a_short_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,prompt_tokens,output_tokens\n" + "".join(f"{at}.5,{at + 1},7\n" for at in range(100)))
    found = setting(Wanted(str(path), 4, 20.0, 30.0))
    assert (found.deployments, found.fault_at, found.traffic[69]) == (4, 20.0, Arrival(69.0, 100, 7))
    assert found.traffic[0] == Arrival(0.0, 31, 7)
    assert found.traffic[70] == Arrival(70.0, 1, 7)
    assert found.traffic[170] == Arrival(170.0, 1, 7)
    assert found.traffic[-1].at == 769.0, "until the end of what is played"
    assert found.window == (20.0, 20.0 + FAULT_SECONDS)
    with pytest.raises(ConfigError, match=r"nowhere\.csv"):
        setting(Wanted(str(tmp_path / "nowhere.csv"), 3, 20.0, 30.0))


def test_an_attempt_may_take_what_the_longest_call_takes_and_more() -> None:
    short = [Arrival(at / 2, 100, 100) for at in range(2000)]
    assert Setting(short).attempt_timeout() == 30.0
    long = Setting([*short, Arrival(999.0, 100, 2000)])
    assert long.attempt_timeout() == 5.0 * -(-1.4 * nominal(Arrival(0.0, 100, 2000)) // 5.0) > 50.0
    for number in (1, 7):
        made = SCENARIOS[number](long)
        assert (made.attempt_timeout, made.deadline) == (long.attempt_timeout(), 2 * long.attempt_timeout())
    assert Setting([*short, Arrival(5000.0, 100, 2000)]).attempt_timeout() == 30.0, "it is not played"


@pytest.mark.parametrize("deployments", [2, 3, 5, 12, 16])
def test_servers_have_as_many_places_as_are_needed(deployments: int) -> None:
    """12 servers of 1:2:4 cannot be dealt by rounding alone, which would leave places out."""
    busy = Setting([Arrival(at / 5, 100, 280) for at in range(6000)], deployments)
    places = [one.concurrency or 0 for one in SCENARIOS[12](busy).regions.values()]
    assert busy.calls_under_way() <= sum(places) <= busy.calls_under_way() + 1
    assert min(places) >= 1
    assert [places[at] for at in (0, 1)] == sorted(places[:2])
