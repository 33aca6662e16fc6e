"""A configuration of one's own in virtual time: which regions its deployments get, what is played, what is told."""

from pathlib import Path

import pytest

from turnout.errors import ConfigError
from turnout.sim.cloud_file import CloudFile, RegionPlan
from turnout.sim.figures import by_deployment, summarise
from turnout.sim.planned_traffic import PlannedTraffic
from turnout.sim.runs import Run, play_all
from turnout.sim.schedule import parse_fault
from turnout.sim.service import ServiceModel
from turnout.sim.simulation import Simulation, play, prepare
from turnout.sim.simulation_report import parse_bounds, report_of

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      model: azure/gpt-4o
      api_base: https://prod-east.openai.azure.com
      api_key: os.environ/EAST_KEY
      api_version: os.environ/EAST_VERSION
      region_name: eastus
      tpm: 90000
      rpm: 600
      max_parallel_requests: 7
  - model_name: gpt
    litellm_params: {model: azure/gpt-4o, api_base: os.environ/WEST_BASE, api_key: os.environ/WEST_KEY}
    model_info: {id: west}
  - model_name: gpt
    litellm_params: {model: azure/gpt-4o-mini, api_base: "https://prod-north.openai.azure.com", api_key: k}
  - model_name: mini
    litellm_params: {model: azure/gpt-4o-mini, api_base: "https://prod-north.openai.azure.com", api_key: k}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
router_settings:
  routing_strategy: least-busy
  timeout: 60
  num_retries: 2
  redis_host: os.environ/REDIS_HOST
  transcripts: {store: "postgresql://somewhere/else"}
  fallbacks: [{gpt: [claude]}]
"""
MINUTE = PlannedTraffic(seconds=60)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def models(simulation: Simulation) -> dict[str, ServiceModel]:
    return {place.id: place.model for place in simulation.places}


def test_deployments_get_names_that_can_be_read_and_limits_of_their_rows(config: Path) -> None:
    simulation = prepare(config)
    names = ["eastus", "west", "prod-north/gpt-4o-mini", "prod-north/gpt-4o-mini#2", "anthropic"]
    assert list(models(simulation)) == names
    assert simulation.model == "gpt"
    assert simulation.own_strategy == "least-busy"
    assert simulation.left_out == ("redis_host",)
    assert models(simulation)["eastus"] == ServiceModel(tpm=90_000, rpm=600, concurrency=7)
    assert models(simulation)["west"] == ServiceModel()


def test_a_cloud_describes_deployments_by_id_region_host_or_model_group(config: Path) -> None:
    slow = {name: RegionPlan(ServiceModel(factor=factor)) for factor, name in enumerate(
        ("eastus", "west", "prod-north", "claude", "gpt"), start=2)}  # fmt: skip
    simulation = prepare(config, cloud=CloudFile(slow, default=ServiceModel(factor=9)))
    assert [one.factor for one in models(simulation).values()] == [2, 3, 4, 4, 5]
    assert models(simulation)["eastus"].tpm is None
    assert all(place.described for place in simulation.places)
    only_default = prepare(config, cloud=CloudFile(default=ServiceModel(factor=9, rpm=5)))
    assert (models(only_default)["eastus"].factor, models(only_default)["eastus"].rpm) == (9, 600)
    assert models(only_default)["west"].rpm == 5


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("west", ("west",)),
        ("eastus", ("eastus",)),
        ("prod-east", ("eastus",)),
        ("prod-north", ("prod-north/gpt-4o-mini", "prod-north/gpt-4o-mini#2")),
        ("gpt", ("eastus", "west", "prod-north/gpt-4o-mini")),
        ("claude,west", ("anthropic", "west")),
        ("all", ("all",)),
    ],
)
def test_faults_name_what_they_hit(config: Path, name: str, ids: tuple[str, ...]) -> None:
    simulation = prepare(config, faults=[parse_fault(f"{name} down 1m-2m")])
    assert [fault.regions for fault in simulation.faults] == [ids]


def test_a_fault_on_nothing_is_told_what_names_there_are(config: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is called 'eastsu'") as caught:
        prepare(config, faults=[parse_fault("eastsu down 1m-2m")])
    for name in ("the regions eastus", "prod-north", "the model groups gpt, mini, claude", "all"):
        assert name in caught.value.message


def test_a_model_group_that_is_not_there(config: Path) -> None:
    with pytest.raises(ConfigError, match="no model group 'gtp'; did you mean 'gpt'"):
        prepare(config, model="gtp")


def test_what_is_wrong_with_the_configuration_is_told_before_anything_is_played(config: Path) -> None:
    config.write_text(CONFIG.replace("num_retries", "num_retires"))
    with pytest.raises(ConfigError, match="num_retires: unknown keyword of Router"):
        prepare(config)


def test_a_region_may_spill_to_another_deployment_or_to_a_region_that_is_none(config: Path) -> None:
    plans = {"eastus": RegionPlan(ServiceModel(tpm=2000, ptu=True, burst=1, spill="paygo"))}
    with pytest.raises(ConfigError, match="'eastus' spills to 'paygo', which is not there"):
        prepare(config, cloud=CloudFile(plans))
    plans["paygo"] = RegionPlan(ServiceModel(factor=2))
    simulation = prepare(config, cloud=CloudFile(plans), traffic=MINUTE, faults=[parse_fault("paygo down 30s-")])
    assert simulation.faults[0].regions == ("paygo",)
    tries = [one for outcome in play(simulation, "least-busy", 1).outcomes for one in outcome.tries]
    early = {one.outcome for one in tries if one.deployment == "eastus" and one.at < 25}
    assert early == {"ok"}, "what provisioned throughput has no room for, the other region takes"
    assert "deployment" in {one.outcome for one in tries if one.deployment == "eastus" and one.at > 30}


def test_accounts_know_the_responses_of_all_their_deployments(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    rows = [
        f'  - {{model_name: gpt, litellm_params: {{model: azure/{model}, api_base: "https://one.openai.azure.com", '
        f"api_key: k}}}}\n"
        for model in ("gpt-4o", "gpt-4o-mini")
    ]
    path.write_text("model_list:\n" + "".join(rows) + "router_settings: {timeout: 60}\n")
    traffic = PlannedTraffic(seconds=120, follow_ups=0.6)
    simulation = prepare(path, traffic=traffic, faults=[parse_fault("one/gpt-4o unavailable 40s-80s")])
    outcomes = play(simulation, "simple-shuffle", 1).outcomes
    assert summarise(outcomes).ok_share == 1.0
    assert {one.outcome for outcome in outcomes for one in outcome.tries} == {"ok", "deployment"}


def test_faults_limits_and_fallbacks_take_effect(config: Path) -> None:
    faults = [parse_fault("gpt down 20s-40s"), parse_fault("west throttled 40s-60s")]
    simulation = prepare(config, traffic=MINUTE, faults=faults)
    outcomes = play(simulation, "least-busy", 1).outcomes
    assert summarise(outcomes, window=(0, 20)).failed_per_1000 == 0
    during = by_deployment([one for one in outcomes if 22 <= one.at < 38])
    assert during["anthropic"].ok > 0
    assert all(during[name].ok == 0 for name in during if name != "anthropic")
    assert summarise(outcomes).throttles_per_1000 > 0


def test_a_run_can_be_stopped_and_replayed(config: Path) -> None:
    simulation = prepare(config, traffic=PlannedTraffic(seconds=120, stream=0.2, follow_ups=0.2, mistakes=0.05))
    whole = play(simulation, "simple-shuffle", 3)
    assert whole.complete
    assert whole == play(simulation, "simple-shuffle", 3)
    assert whole != play(simulation, "simple-shuffle", 4)
    assert summarise(whole.outcomes).caller_errors > 0
    part = play(simulation, "simple-shuffle", 3, go_on=lambda at: at < 60)
    assert not part.complete
    assert part.outcomes == whole.outcomes[: len(part.outcomes)]
    assert 100 < len(part.outcomes) < len(whole.outcomes)


def test_processes_play_what_one_plays_alone_and_say_how_far_they_are(config: Path) -> None:
    simulation = prepare(config, traffic=MINUTE)
    runs = [Run("least-busy", 1), Run("simple-shuffle", 2)]
    alone = play_all(simulation, runs, jobs=1)
    assert set(alone) == set(runs)
    seen: list[int] = []
    assert play_all(simulation, runs, jobs=2, progress=lambda passed: seen.append(len(passed))) == alone
    assert seen


def test_a_report_puts_seeds_together_and_says_what_was_left_out(config: Path) -> None:
    simulation = prepare(config, traffic=MINUTE, faults=[parse_fault("west down 10s-20s")])
    runs = [Run("least-busy", 1), Run("least-busy", 2), Run("simple-shuffle", 1), Run("simple-shuffle", 2)]
    played = play_all(simulation, runs[:3], jobs=1)
    report = report_of("config.yaml", simulation, runs, played)
    assert [run.name for run in report.runs] == ["least-busy", "simple-shuffle"]
    calls = [len(played[run].outcomes) for run in runs[:3]]
    assert [run.summary.calls for run in report.runs] == [calls[0] + calls[1], calls[2]]
    assert [sum(run.series.calls) for run in report.runs] == [calls[0], calls[2]]
    assert [(mark.start, mark.end, mark.label) for mark in report.runs[0].marks] == [(10, 20, "west down")]
    assert report.facts["settings left out"] == "redis_host"
    assert report.facts["stopped"] == "simple-shuffle, seed 2 not played"
    assert report.facts["faults"] == "west down, 10-20 s"
    assert "eastus, west" in report.facts["regions of default speed"]


def test_bounds(config: Path) -> None:
    summary = summarise(play(prepare(config, traffic=MINUTE), "least-busy", 1).outcomes)
    fine, slow = parse_bounds("ok=99, p99=0.5", "x")
    assert fine.missed_by(summary) is None
    told = slow.missed_by(summary)
    assert told is not None
    assert told.startswith("p99 is ")
    assert told.endswith(" s, must be at most 0.5 s")
    empty = summarise([])
    assert fine.missed_by(empty) == "ok is - %, must be at least 99 %"
    wrong = {"okay=3": "did you mean 'ok'", "p99": "is not a figure and a number", "p99=-1": "0 or more"}
    for text, problem in wrong.items():
        with pytest.raises(ConfigError, match=f"^--fail-under: .*{problem}"):
            parse_bounds(text, "--fail-under")
