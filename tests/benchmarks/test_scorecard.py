"""The scorecard's own judgement: gates that can fail, figures that are right, scenarios and ablations that are real."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from benchmarks.scorecard import __main__ as scorecard
from benchmarks.scorecard.ablation import ABLATIONS
from benchmarks.scorecard.figures import NEVER, Figures, figures, mean
from benchmarks.scorecard.gates import GATES, REFERENCE_P99, Gate
from benchmarks.scorecard.runs import OURS, Run, Wanted, make
from benchmarks.scorecard.scenario import Scenario
from benchmarks.scorecard.scenarios import AFTERWARDS, FAULT_SECONDS, OUTAGE_SECONDS, SCENARIOS, Setting, nominal
from tests.router.sim.runs import answered, failed
from turnout.context import Call, Observation
from turnout.policies import AdaptivePolicy, CooldownPolicy
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.record import Outcome, Try
from turnout.sim.service import Service, ServiceModel
from turnout.sim.simulated_router import SimulatedRouter
from turnout.sim.traffic import Arrival
from turnout.strategies import Adaptive

BEST = Figures(ok=100.0, p50=3.0, p99=REFERENCE_P99, slow_down=1.8, failed=0.0, requests=0.0, recovery=0.0)
"""What the oracle does on the traffic that the gates are for."""

# Gates


@pytest.mark.parametrize("number", GATES)
def test_every_gate_can_fail(number: int) -> None:
    """The oracle's own figures pass, and each gate fails by its own figure alone."""
    assert all(gate.holds(BEST, BEST, reference=True) for gate in GATES[number])
    for gate in GATES[number]:
        worse = gate.limit - 0.2 if gate.least else gate.limit * 1.01
        found = replace(BEST, **{gate.name: worse})
        assert not gate.holds(found, BEST, reference=True), gate
        others = [one for one in GATES[number] if one.name != gate.name]
        assert all(one.holds(found, BEST, reference=True) for one in others)


def test_every_scenario_has_a_gate() -> None:
    assert set(GATES) == set(SCENARIOS) == set(range(1, 13))
    assert all(GATES.values())


@pytest.mark.parametrize(
    ("name", "limit", "least"),
    [("failed", 6.0, False), ("recovery", 45.0, False), ("requests", 0.5, False), ("p99", 17.5, False)],
)
def test_a_limit_is_within_itself(name: str, limit: float, least: bool) -> None:
    gate = Gate(name, limit, least)  # type: ignore[arg-type]
    assert gate.holds(replace(BEST, **{name: limit}), BEST, reference=True)
    assert not gate.holds(replace(BEST, **{name: limit + 1e-6}), BEST, reference=True)


@pytest.mark.parametrize(("name", "limit", "nominal"), [("p99", 17.5, REFERENCE_P99), ("slow_down", 2.0, 1.8)])
def test_on_other_traffic_seconds_are_held_against_the_oracles(name: str, limit: float, nominal: float) -> None:
    gate, slower = Gate(name, limit), replace(BEST, **{name: 2 * nominal})  # type: ignore[arg-type]
    within, beyond = (replace(BEST, **{name: 2 * limit * part}) for part in (0.999, 1.001))
    assert gate.holds(within, slower, reference=False)
    assert not gate.holds(within, slower, reference=True), "the reference's limits are in seconds"
    assert not gate.holds(beyond, slower, reference=False)
    quicker = replace(BEST, **{name: nominal / 2})
    assert gate.holds(replace(BEST, **{name: limit}), quicker, reference=False), "it is never narrower"
    assert not gate.holds(replace(BEST, **{name: limit * 1.001}), quicker, reference=False)


def test_a_recovery_may_take_as_much_longer_as_the_oracles_does() -> None:
    gate, late = Gate("recovery", 45.0), replace(BEST, recovery=25.5)
    assert gate.holds(replace(BEST, recovery=65.0), late, reference=False)
    assert not gate.holds(replace(BEST, recovery=65.1), late, reference=False)
    assert not gate.holds(replace(BEST, recovery=45.1), late, reference=True)
    assert gate.holds(replace(BEST, recovery=45.0), replace(BEST, recovery=0.0), reference=False)


def test_no_other_figure_is_relative() -> None:
    oracle = replace(BEST, failed=50.0, requests=5.0)
    for name in ("failed", "requests"):
        gate = Gate(name, 1.0)  # type: ignore[arg-type]
        assert not gate.holds(replace(BEST, **{name: 1.1}), oracle, reference=False)


def test_on_other_traffic_a_share_that_the_oracle_misses_is_held_against_the_oracles() -> None:
    gate = Gate("ok", 99.0, least=True)
    assert not gate.holds(replace(BEST, ok=98.8), BEST, reference=False)
    assert gate.holds(replace(BEST, ok=94.1), replace(BEST, ok=95.0), reference=False)
    assert not gate.holds(replace(BEST, ok=93.9), replace(BEST, ok=95.0), reference=False)


def test_a_recovery_that_no_scenario_asks_for_is_no_failure() -> None:
    assert Gate("recovery", 45.0).holds(replace(BEST, recovery=None), BEST, reference=True)


@pytest.mark.parametrize("name", ["p99", "slow_down"])
def test_who_answers_nobody_is_not_quick(name: str) -> None:
    nothing = Figures(ok=0.0, p50=0.0, p99=0.0, slow_down=0.0, failed=0.0, requests=0.0, recovery=None)
    for reference in (True, False):
        assert not Gate(name, 10.0).holds(nothing, BEST, reference=reference)  # type: ignore[arg-type]


def test_gates_say_what_they_ask() -> None:
    assert [str(gate) for gate in GATES[2]] == ["ok % >= 99.7", "slow-down <= 2", "recovery s <= 45"]


# Figures


def judged(*outcomes: Outcome, victim: str | None = None) -> Figures:
    """Of a scenario whose fault is from 200 to 300 s."""
    arrivals = [Arrival(one.at, one.prompt_tokens, one.output_tokens) for one in outcomes]
    return figures(Scenario(0, "test", arrivals, {}, (200.0, 300.0), victim=victim), outcomes)


def test_figures_of_a_few_calls() -> None:
    quick, usual = nominal(Arrival(0.0, 100, 20)), 2.0
    retried = Outcome(
        250.0, usual, ok=True, prompt_tokens=100, output_tokens=20,
        tries=(Try("east", 250.0, 0.5, "throttle"), Try("west", 250.5, 1.5, "ok")),
    )  # fmt: skip
    found = judged(
        answered(199.9, 50.0),  # before the fault
        answered(200.0, quick),
        retried,
        failed(260.0, "deployment", "provider", "deployment"),
        failed(270.0, "caller", blame="caller"),
        failed(300.0, "deployment"),  # after it
    )
    assert found.ok == pytest.approx(100 * 2 / 3), "who is in the wrong does not count"
    assert found.p50 == pytest.approx((quick + usual) / 2)
    assert found.p99 == pytest.approx(quick + 0.99 * (usual - quick))
    assert found.slow_down == pytest.approx(1.0 + 0.99 * (usual / quick - 1.0))
    assert found.failed == 1000 * 4 / 4, "four failed requests of four calls; the caller's own mistake is none"
    assert found.requests == 7 / 4
    assert found.recovery is None


def test_requests_count_when_they_are_sent() -> None:
    """One call from before the fault asks again within it; one within it asks again afterwards."""
    early = failed(199.6, "deployment", "deployment")
    late = failed(299.8, "deployment", "deployment")
    found = judged(early, late)
    assert found.requests == 2
    assert found.failed == 2000


def test_nothing_at_all_is_no_good() -> None:
    assert judged() == Figures(ok=0.0, p50=0.0, p99=0.0, slow_down=0.0, failed=0.0, requests=0.0, recovery=None)


def shared(start: float, end: float) -> list[Outcome]:
    return [answered(start + at / 2, by="east" if at % 2 else "west") for at in range(int(2 * (end - start)))]


def alone(start: float, end: float) -> list[Outcome]:
    return [answered(start + at / 2, by="west") for at in range(int(2 * (end - start)))]


def test_a_recovery_is_that_of_half_its_share() -> None:
    before = shared(60.0, 200.0)
    at_once = judged(*before, *alone(200.0, 300.0), *shared(300.0, 450.0), victim="east")
    later = judged(*before, *alone(200.0, 330.0), *shared(330.0, 450.0), victim="east")
    never = judged(*before, *alone(200.0, 450.0), victim="east")
    assert at_once.recovery is not None
    assert 0.0 < at_once.recovery < 10.0
    assert later.recovery == pytest.approx(at_once.recovery + 30.0, abs=1.0)
    assert never.recovery == NEVER


def test_seconds_in_which_nobody_calls_are_no_part_of_a_recovery() -> None:
    """Of a minute without calls ten seconds count."""
    before = shared(60.0, 200.0)
    found = judged(*before, *alone(200.0, 310.0), *alone(370.0, 380.0), *shared(380.0, 450.0), victim="east")
    whole = judged(*before, *alone(200.0, 330.0), *shared(330.0, 450.0), victim="east")
    assert found.recovery == pytest.approx(whole.recovery, abs=1.0)


def test_means() -> None:
    one = Figures(ok=90.0, p50=1.0, p99=10.0, slow_down=2.0, failed=4.0, requests=1.0, recovery=30.0)
    two = Figures(ok=100.0, p50=3.0, p99=20.0, slow_down=4.0, failed=0.0, requests=3.0, recovery=None)
    both = Figures(ok=95.0, p50=2.0, p99=15.0, slow_down=3.0, failed=2.0, requests=2.0, recovery=30.0)
    assert mean([one, two]) == both
    assert mean([one, one]) == one
    assert mean([two]).recovery is None


# Scenarios


def traffic(deployments: int = 3, fault_at: float = 300.0, rate: float = 2.0) -> Setting:
    end = fault_at + FAULT_SECONDS + AFTERWARDS
    arrivals = [Arrival(at / rate, 400, 50 + at % 200) for at in range(int(end * rate))]
    return Setting(arrivals, deployments, fault_at)


@pytest.mark.parametrize("deployments", [2, 3, 8, 16])
@pytest.mark.parametrize("number", SCENARIOS)
def test_scenarios_are_well_formed(number: int, deployments: int) -> None:
    for made in (traffic(deployments), traffic(deployments, fault_at=0.0, rate=0.02), traffic(deployments, 450.0)):
        scenario = SCENARIOS[number](made)
        start, end = scenario.window
        assert scenario.number == number
        assert (start, end - start) == (made.fault_at, OUTAGE_SECONDS if number in (7, 8) else FAULT_SECONDS)
        names = [f"region{at + 1}" for at in range(1 if number == 8 else deployments)]
        assert list(scenario.regions) == names
        assert [one.at for one in scenario.arrivals] == sorted(one.at for one in scenario.arrivals)
        assert scenario.arrivals[-1].at < end + AFTERWARDS + 0.07 * 3 + 1e-9
        for change in scenario.changes():
            assert change.region in names
            assert change.at in (start, end)
        assert all(fault.start == start and fault.end == end for fault in scenario.faults)
        assert scenario.victim is None or scenario.victim in scenario.faults[0].regions
        assert set(scenario.services(1)) == set(names)
        assert all(at == start and name in names for name, at in scenario.joins.items())


def test_what_each_scenario_is_about() -> None:
    made = {number: SCENARIOS[number](traffic()) for number in SCENARIOS}
    kinds = {number: [fault.kind for fault in one.faults] for number, one in made.items()}
    assert kinds == {
        1: [], 2: ["slow"], 3: [], 4: ["errors"], 5: ["unavailable"], 6: ["black-hole"],
        7: ["unavailable"], 8: ["unavailable"], 9: [], 10: [], 11: ["slow"], 12: [],
    }  # fmt: skip
    assert {number for number, one in made.items() if one.victim is not None} == {2, 4, 5, 6, 11}
    gated = {number for number, gates in GATES.items() if any(gate.name == "recovery" for gate in gates)}
    assert all(made[number].victim is not None for number in gated), "what is not measured is no gate"
    assert [one.factor for one in made[1].regions.values()] == [1.0, 1.3, 1.8]
    tpm = [one.tpm or 0.0 for one in made[3].regions.values()]
    assert [one / tpm[0] for one in tpm] == pytest.approx([1.0, 2.0, 5.0])
    assert made[3].configured
    assert len(made[3].arrivals) > 1.2 * len(made[1].arrivals)
    assert made[9].joins == {"region3": 300.0}
    assert (made[10].mistakes, made[11].workers) == (0.1, 4)
    busy = traffic(rate=20.0)
    places = [one.concurrency or 0 for one in SCENARIOS[12](busy).regions.values()]
    assert [one / places[0] for one in places] == pytest.approx([1.0, 2.0, 4.0], rel=0.1)
    assert sum(places) == pytest.approx(busy.calls_under_way(), abs=2)


# Ablations


def patched(name: str) -> SimulatedRouter:
    patch, strategy = ABLATIONS[name]
    network = VirtualNetwork([PlainRegion(Service("a", ServiceModel()))])
    params = {"model": "azure/g", "api_key": "k", "api_base": "https://a.simulated"}
    row = {"model_name": "gpt", "litellm_params": params, "model_info": {"id": "a"}}
    router = SimulatedRouter([row], network, routing_strategy=strategy())
    if patch is not None:
        patch(router)
    return router


def rules(router: SimulatedRouter) -> tuple[type, AdaptivePolicy, CooldownPolicy]:
    strategy = router._fleet.strategy
    assert isinstance(strategy, Adaptive)
    return type(strategy), strategy.policy, router._fleet.cooldown


def test_every_ablation_leaves_one_rule_out() -> None:
    usual = rules(patched("all rules"))
    assert usual[:2] == (Adaptive, AdaptivePolicy())
    changed = {name: rules(patched(name)) for name in ABLATIONS if name != "all rules"}
    assert usual not in changed.values()
    assert len(set(map(repr, changed.values()))) == len(changed), "no two are the same"
    for name, found in changed.items():
        assert sum(one != other for one, other in zip(found, usual, strict=True)) == 1, name


def test_without_sizes_a_long_answer_is_a_slow_one() -> None:
    call = Call("create", "gpt", {}, 0.0, 60.0)
    for name, relative in (("all rules", True), ("time not relative to a call's size", False)):
        router = patched(name)
        strategy = router._fleet.strategy
        assert isinstance(strategy, Adaptive)
        (one,) = router._fleet.deployments.values()
        one.in_flight = 1
        for tokens, seconds in ((1, 0.5), (1000, 20.5)):  # as long as such answers take
            token = strategy.started(one, call, 0.0)
            strategy.finished(one, Observation(0.0, seconds, "ok", 10, tokens, token=token))
        slowness = one.learned.ratios / one.learned.answers
        assert (slowness < 1.2) == relative, slowness


def test_an_ablation_is_played() -> None:
    """Without the panic probe a total outage of the only deployment lasts until its breaker's pause ends."""
    wanted = Wanted("conv", 2, 0.0, 0.0)
    _, whole = make(wanted, Run(8, OURS, 1))
    run, without = make(wanted, Run(8, OURS, 1, "no panic probe"))
    assert run.without == "no panic probe"
    assert whole.requests > without.requests


# The command


def test_a_short_run_prints_its_gates_and_ends_with_0(tmp_path: Path) -> None:
    """In a process of its own, as it is run; from traffic that every clone has."""
    to = tmp_path / "found.json"
    arguments = ["--scenario", "8", "--seeds", "1", "--workers", "1", "--trace", "conv", "--fault-at", "20"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scorecard", *arguments, "--json", str(to)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).resolve().parents[2], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"gate: (.*): held", done.stdout) == [str(gate) for gate in GATES[8]]
    assert "turnout adaptive" in done.stdout
    assert "every gate is held" in done.stdout
    rows = json.loads(to.read_text())["scenarios"]
    assert {row["scenario"] for row in rows} == {8}
    assert {"turnout adaptive", "oracle", "P2C peak-EWMA"} <= {row["router"] for row in rows}
    (ours,) = (row for row in rows if row["router"] == OURS)
    assert ours["ok"] >= 75


def test_a_gate_that_is_not_held_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what the runs would have found put in their place."""
    asked: list[Run] = []

    def found(wanted: Wanted, runs: list[Run], workers: int) -> list[tuple[Run, Figures]]:
        asked.extend(runs)
        return [(run, replace(BEST, failed=20.0 if run.router == OURS else 0.0)) for run in runs]

    monkeypatch.setattr(scorecard, "make_all", found)
    assert scorecard.main(["--scenario", "4,1", "--seeds", "2", "--trace", "conv"]) == 1
    told = capsys.readouterr().out
    assert "gate: failed/1000 <= 16: NOT HELD (the oracle's figure is 0.00)" in told
    assert "gate: p99 s <= 17.5: held" in told
    assert "1 gates not held" in told
    assert len(asked) == len(set(asked)) == 2 * 2 * 7


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--deployments", "1"], "--deployments: from 2 to 16"),
        (["--deployments", "17"], "--deployments: from 2 to 16"),
        (["--seeds", "0"], "--seeds: at least 1"),
        (["--workers", "0"], "--workers: at least 1"),
        (["--scenario", "18"], "scenarios are numbered from 1 to 17"),
        (["--scenario", "x"], "scenarios are numbered from 1 to 17"),
        (["--scenario", ""], "scenarios are numbered from 1 to 17"),
        (["--fault-at", "-1"], "--skip and --fault-at: seconds"),
        (["--fault-at", "nan"], "--skip and --fault-at: seconds"),
        (["--skip", str(inf)], "--skip and --fault-at: seconds"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scorecard.main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_traces_that_cannot_be_played_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short.csv"
    short.write_text("t_s,prompt_tokens,output_tokens\n0.0,100,50\n1.0,100,50\n")
    for trace, told in ((short, "no call comes within the fault"), (tmp_path / "nowhere.csv", "cannot be read")):
        assert scorecard.main(["--scenario", "3", "--trace", str(trace)]) == 2
        assert told in " ".join(capsys.readouterr().out.split())
