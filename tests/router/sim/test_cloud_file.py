"""Clouds as YAML: what is read, and how mistakes are named."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from turnout.errors import ConfigError
from turnout.router import Router
from turnout.sim.cloud_file import CloudFile, RegionPlan, read_cloud
from turnout.sim.cloud_regions import GROUP, model_list_of, regions_of
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.planned_traffic import PlannedTraffic
from turnout.sim.schedule import FAULTS, ScheduledFault
from turnout.sim.service import ServiceModel

WHOLE = """
regions:
  eastus: {tpm: 300000, rpm: 1800, burst: 10s, concurrency: 40, factor: 1.3, jitter: 0}
  ptu: {provider: azure, ptu: true, tpm: 120000, spill: eastus, cached_prefixes: 100}
  claude: {provider: anthropic, first_token: 0.6, per_input_token: 0.0002, per_output_token: 0.015}
  no:
default: {output_tokens_per_second: 4000}
faults:
  - eastus down 10m-20m
  - all slow x2 0-
traffic: {profile: code, rate: 5, scale: 2, seconds: 1h30m, stream: 0.5, follow_ups: 0.25, mistakes: 0.01}
"""


def read(tmp_path: Path, text: str) -> CloudFile:
    path = tmp_path / "cloud.yaml"
    path.write_text(text)
    return read_cloud(path)


def test_the_whole_file(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.regions == {
        "eastus": RegionPlan(ServiceModel(tpm=300_000, rpm=1800, burst=10, concurrency=40, factor=1.3, jitter=0)),
        "ptu": RegionPlan(ServiceModel(ptu=True, tpm=120_000, spill="eastus", cached_prefixes=100)),
        "claude": RegionPlan(
            ServiceModel(first_token=0.6, per_input_token=0.0002, per_output_token=0.015), "anthropic"
        ),
        "no": RegionPlan(ServiceModel()),
    }
    assert found.default == ServiceModel(output_tokens_per_second=4000)
    assert [str(one) for one in found.faults] == ["eastus down", "all slow 2"]
    assert found.faults[0] == ScheduledFault(("eastus",), "down", 600, 1200)
    assert found.traffic == PlannedTraffic(
        profile="code", rate=5, scale=2, seconds=5400, stream=0.5, follow_ups=0.25, mistakes=0.01
    )


@pytest.mark.parametrize("text", ["", "regions:", "traffic: {}"])
def test_nothing_has_to_be_said(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == CloudFile()


def test_a_trace_is_sought_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("t_s,prompt_tokens,output_tokens\n0,10,1\n3,20,2\n50,30,3\n")
    traffic = read(tmp_path, "traffic: {trace: calls.csv, scale: 2, seconds: 10}").traffic
    assert [(one.at, one.output_tokens) for one in traffic.arrivals(1)] == [(0, 1), (1.5, 2)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- eastus", "cloud.yaml: must be a mapping, got a list"),
        ("a: [", "not valid YAML"),
        ("region: {}", "region: unknown key; did you mean 'regions'?"),
        ("regions: [eastus]", "regions: must be a mapping, got a list"),
        ("regions: {a: 3}", "regions.a: must be a mapping, got 3"),
        ("regions: {a: {tmp: 3}}", "regions.a.tmp: unknown key; did you mean 'tpm'?"),
        ("regions: {a: {tpm: many}}", "regions.a.tpm: must be a positive number, got a str"),
        ("regions: {a: {rpm: 0}}", "regions.a.rpm: must be a positive number, got 0"),
        ("regions: {a: {first_token: -1}}", "regions.a.first_token: must be a number, 0 or more, got -1"),
        ("regions: {a: {concurrency: 1.5}}", "regions.a.concurrency: must be a positive integer, got 1.5"),
        ("regions: {a: {ptu: 1}}", "regions.a.ptu: must be True or False, got 1"),
        ("regions: {a: {ptu: true}}", "regions.a.tpm: is missing"),
        ("regions: {a: {burst: soon}}", "regions.a.burst: 'soon' is no time, such as 90s"),
        ("regions: {a: {provider: amazon}}", "must be one of azure, openai, anthropic, gemini"),
        ("default: {factor: x}", "default.factor: must be a positive number"),
        ("faults: eastus down 1-2", "faults: must be a list of lines"),
        ("faults: [a down 1m-2m, a dwon 1m-2m]", "faults[1]: 'a dwon 1m-2m' is not"),
        ("faults: [3]", "faults[0]: must be a string"),
        ("traffic: {rte: 5}", "traffic.rte: unknown key; did you mean 'rate'?"),
        ("traffic: {stream: 50}", "traffic.stream: is a share, from 0 to 1, got 50"),
        ("traffic: {profile: conversation}", "traffic.profile: no traffic is called 'conversation'"),
        ("traffic: {seconds: 0}", "traffic.seconds: must be a positive number, got 0"),
    ],
)
def test_a_mistake_is_named_with_its_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        read(tmp_path, text)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere\.yaml: cannot be read \(No such file"):
        read_cloud(Path("/nowhere.yaml"))


def test_a_trace_leaves_no_room_for_a_rate(tmp_path: Path) -> None:
    traffic = read(tmp_path, "traffic: {trace: calls.csv, rate: 5}").traffic
    with pytest.raises(ConfigError, match="has its own profile and rate"):
        traffic.arrivals(1)


def test_a_profile_gives_each_seed_its_calls_at_the_wanted_rate() -> None:
    planned = PlannedTraffic(rate=5, scale=2, seconds=600, mistakes=0.1)
    calls = planned.arrivals(1)
    assert calls == planned.arrivals(1) != planned.arrivals(2)
    assert 5000 < len(calls) < 7000
    assert calls[-1].at < 600
    assert 0.07 < sum(planned.mistaken(1, len(calls))) / len(calls) < 0.13
    assert str(planned) == "profile conv, 10 calls/s, 10 minutes, 10% mistakes"


CALLABLE = """
regions:
  east: {first_token: 0.01, per_output_token: 0.0001}
  platform: {provider: openai, first_token: 0.01, per_output_token: 0.0001}
  claude: {provider: anthropic, first_token: 0.01, per_output_token: 0.0001}
  flash: {provider: gemini, first_token: 0.01, per_output_token: 0.0001}
"""


def test_every_provider_s_region_answers_the_router_that_calls_it(tmp_path: Path) -> None:
    found = read(tmp_path, CALLABLE)
    with FakeCloud(regions_of(found)) as cloud:
        rows = model_list_of(found, {name: region.url for name, region in cloud.regions.items()})
        with Router(rows, timeout=20) as router:
            assert {row["model_name"] for row in rows} == {GROUP}
            for name in found.regions:
                response = router.responses(name, "ask-000000000001")
                assert response.route.deployment == name
                assert response.output_text
        assert {name: region.served for name, region in cloud.regions.items()} == dict.fromkeys(found.regions, 1)


def test_the_page_about_simulation_has_a_file_that_is_right_and_every_field_and_fault(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "simulation.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = read(tmp_path, example)
    assert [region.name for region in regions_of(found)] == list(found.regions)
    names = [field.name for kind in (ServiceModel, PlannedTraffic) for field in fields(kind)]
    assert [name for name in (*names, *FAULTS) if f"`{name}" not in page] == []
    usual = ServiceModel()
    assert f"| {usual.first_token:g} |" in page
    assert f"| {usual.per_input_token:g}, {usual.per_output_token:g} |" in page
