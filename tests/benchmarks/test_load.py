"""The load test over real sockets: bounds, refusals, both loops, comparisons, and that it can be stopped."""

import asyncio
import json
import math
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.load.__main__ import app
from benchmarks.load.calling import prompt_of
from benchmarks.load.comparing import binomial, differences
from benchmarks.load.plan import Bounds, Plan
from benchmarks.load.running import LoadTest
from benchmarks.load.screen import watch
from benchmarks.load.targets import Target, is_local
from tests.conftest import SECRET, router_of, row
from turnout.errors import ConfigError
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage, throttle
from turnout.sim.record import Outcome
from turnout.sim.traffic import Arrival

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5}
REMOTE = {
    "model_name": "gpt",
    "litellm_params": {"model": "azure/gpt-4o", "api_key": "k", "api_base": "https://x.openai.azure.com"},
    "model_info": {"id": "far away"},
}


def config(path: Path, *rows: Mapping[str, object], **settings: object) -> Path:
    path.write_text(yaml.safe_dump({"model_list": list(rows), "router_settings": settings}))
    return path


def local(folder: Path, cloud: FakeCloud, *regions: str, **params: object) -> Path:
    return config(folder / "config.yaml", *[row(cloud, region, **params) for region in regions or cloud.regions])


def load(*arguments: object, code: int = 0) -> str:
    """What the command prints; it must end with this code."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert done.exit_code == code, done.output
    return done.output


def measured(folder: Path, *arguments: object, code: int = 0) -> Any:
    """The JSON that the command writes."""
    path = folder / "out.json"
    load(*arguments, "--json", path, code=code)
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_users_call_ones_own_deployments_one_call_after_another(tmp_path: Path, cloud: FakeCloud) -> None:
    for region in cloud.regions.values():
        region.latency = 0.02
    html = tmp_path / "report.html"
    path = local(tmp_path, cloud, **PRICES)
    found = measured(tmp_path, path, "--users", 4, "--max-calls", 60, "--html", html)
    run, told = found["runs"][0], found["load"]
    assert told["started"] == told["ended"] == run["summary"]["calls"] == run["summary"]["good"] == 60
    assert told["why"] == "all calls were made"
    assert {name: one["ok"] for name, one in run["deployments"].items()} == {
        name: region.served for name, region in cloud.regions.items()
    }
    assert run["summary"]["p50"] >= 0.02
    assert told["seconds"] >= 60 * 0.02 / 4
    tokens = run["summary"]["input_tokens"] * 1e-6 + run["summary"]["output_tokens"] * 1e-5
    assert run["summary"]["cost"] == pytest.approx(tokens) == pytest.approx(told["cost"])
    assert "swedencentral" in html.read_text()


def test_an_open_loop_starts_calls_when_they_are_due(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.3
    found = measured(tmp_path, local(tmp_path, cloud, "eastus"), "--rps", 60, "--seconds", 1)
    assert 30 < found["load"]["started"] < 95, "though each takes longer than a whole second divided by 60"
    assert found["load"]["ended"] == found["load"]["started"]
    series = found["runs"][0]["series"]
    assert sum(series["calls"]) == found["load"]["started"]


def test_the_fake_cloud_stands_for_the_rows_of_the_configuration(tmp_path: Path) -> None:
    threads = threading.active_count()
    rows = [
        {**REMOTE, "litellm_params": {**REMOTE["litellm_params"], "api_key": "os.environ/NO_SUCH_KEY"}},
        {"model_name": "claude", "litellm_params": {"model": "anthropic/claude-sonnet-4-6", "api_key": "k"}},
    ]
    path = config(tmp_path / "config.yaml", *rows)
    sizes = ("--prompt-tokens", 20, "--output-tokens", 1)
    found = measured(tmp_path, path, "--fake", "--users", 10, "--max-calls", 10, *sizes)
    assert list(found["runs"][0]["deployments"]) == ["far away"]
    assert found["runs"][0]["summary"]["good"] == 10
    arguments = ("--fake", "--users", 10, "--max-calls", 10, "--model", "claude", "--stream", "--output-tokens", 20)
    summary = measured(tmp_path, path, *arguments)["runs"][0]["summary"]
    assert summary["p50"] - summary["first_p50"] > 0.1, "the rest of the answer took its time"
    assert threading.active_count() == threads


def test_a_name_that_is_no_model_group_may_be_called(tmp_path: Path, cloud: FakeCloud) -> None:
    path = config(tmp_path / "config.yaml", row(cloud, "eastus", "gpt-*"), row(cloud, "westus"))
    assert "say by --model" in load(path, "--users", 1, "--max-calls", 1, code=2)
    for name, asked in (("gpt-9", "eastus"), ("westus", "westus")):
        found = measured(tmp_path, path, "--users", 1, "--max-calls", 2, "--model", name)
        assert {one: figures["ok"] for one, figures in found["runs"][0]["deployments"].items()} == {asked: 2}


def test_faults_of_the_fake_cloud_happen_when_they_should(tmp_path: Path) -> None:
    rows = [{**REMOTE, "model_info": {"id": name}} for name in ("eastus", "westus")]
    arguments = ("--fake", "--rps", 20, "--seconds", 1.5, "--output-tokens", 1)
    path = config(tmp_path / "config.yaml", *rows)
    found = measured(tmp_path, path, *arguments, "--fault", "eastus unavailable 0.5s-60s")
    run = found["runs"][0]
    assert run["marks"] == [{"start": 0.5, "end": 60.0, "label": "eastus unavailable"}]
    assert run["deployments"]["eastus"]["failed"] > 0
    assert run["deployments"]["eastus"]["ok"] > 0
    assert run["deployments"]["westus"]["failed"] == 0
    for fault, told in (("eastus melts 1s-2s", "--fault"), ("northpole down 1s-2s", "no region 'northpole'")):
        assert told in load(path, *arguments, "--fault", fault, code=2)
    near = config(tmp_path / "near.yaml", {**REMOTE, "litellm_params": {"model": "ollama/m"}})
    assert "give --fake" in load(near, "--users", 1, "--max-calls", 1, "--fault", "eastus down 1s-2s", code=2)


def test_a_trace_is_played_at_its_pace(tmp_path: Path, cloud: FakeCloud) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,prompt_tokens,output_tokens\n" + "".join(f"{at / 10},100,{at + 1}\n" for at in range(20)))
    path = local(tmp_path, cloud)
    found = measured(tmp_path, path, "--trace", trace, "--speed", 4)
    assert found["load"]["started"] == 20
    assert 0.475 <= found["load"]["seconds"] < 1.5
    limits = [entry.body["max_output_tokens"] for region in cloud.regions.values() for entry in region.journal]
    assert sorted(limits) == sorted(max(at + 1, 16) for at in range(20))
    assert measured(tmp_path, path, "--trace", trace, "--seconds", 0.35)["load"]["started"] == 4


def test_two_configurations_see_the_same_and_a_difference_is_clear(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].latency, cloud["westus"].latency = 0.01, 0.05
    first = config(tmp_path / "first.yaml", row(cloud, "eastus"))
    second = config(tmp_path / "second.yaml", row(cloud, "westus"))
    said = load(first, "--compare", second, "--rps", 100, "--seconds", 1, "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert [run["name"] for run in found["runs"]] == ["first.yaml", "second.yaml"]
    sizes = [Counter(entry.body["max_output_tokens"] for entry in cloud[name].journal) for name in ("eastus", "westus")]
    assert sizes[0].total() > 30
    assert (sizes[0] - sizes[1]).total() + (sizes[1] - sizes[0]).total() <= 1, "but for a last call without its twin"
    by_name = {one["figure"]: one for one in found["differences"]}
    assert by_name["p50"]["clear"]
    assert 0.03 < by_name["p50"]["low"] <= by_name["p50"]["high"] < 0.06
    assert not by_name["answered"]["clear"]
    assert "difference in p50" in said


def test_the_cost_stays_within_its_bound(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].latency = 0.02
    arguments = ("--users", 1, "--max-cost", 0.05, "--prompt-tokens", 1000, "--output-tokens", 400)
    found = measured(tmp_path, local(tmp_path, cloud, "eastus", **PRICES), *arguments)
    assert found["load"]["why"] == "the money is spent"
    assert 0.05 - (1000e-6 + 400e-5) - 0.002 < found["load"]["cost"] <= 0.05


def test_calls_that_never_end_are_broken_off(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("black_hole", share=0.5))
    path = local(tmp_path, cloud, "eastus")
    found = measured(tmp_path, path, "--rps", 40, "--seconds", 0.5, "--drain", 0.2)
    assert found["load"]["broken_off"] > 0
    assert found["load"]["started"] == found["load"]["ended"] + found["load"]["broken_off"]
    assert found["load"]["seconds"] < 2
    assert found["runs"][0]["summary"]["calls"] == found["load"]["ended"]


def test_throttles_and_failures_are_told_apart(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(throttle({"retry-after": "30"}))
    cloud["westus"].set_fault(outage(503))
    found = measured(tmp_path, local(tmp_path, cloud), "--users", 2, "--max-calls", 30)
    figures = found["runs"][0]["deployments"]
    assert figures["eastus"]["throttled"] == figures["eastus"]["failed"] == figures["eastus"]["attempts"] > 0
    assert figures["westus"]["throttled"] == 0
    assert figures["westus"]["failed"] > 0
    assert found["runs"][0]["summary"]["ok_share"] == 1.0
    assert figures["swedencentral"]["ok"] == 30


def test_cut_streams_are_failures(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("cut", events=6))
    found = measured(tmp_path, local(tmp_path, cloud, "eastus"), "--users", 1, "--max-calls", 3, "--stream")
    summary = found["runs"][0]["summary"]
    assert (summary["calls"], summary["good"]) == (3, 0)
    assert sum(summary["errors"].values()) == 3
    assert summary["caller_errors"] == 0


def test_a_request_that_is_wrong_is_the_callers_mistake(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("status", 400, {"error": {"message": "no", "type": "invalid_request_error"}}))
    found = measured(tmp_path, local(tmp_path, cloud, "eastus"), "--users", 1, "--max-calls", 3)
    assert found["runs"][0]["summary"]["caller_errors"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seconds", 1), "one of --rps, --users and --trace"),
        (("--rps", 1, "--users", 1, "--seconds", 1), "one of --rps, --users and --trace"),
        (("--rps", 1), "at least one bound"),
        (("--users", 1), "at least one bound"),
        (("--users", 1, "--max-cost", 1), "prices of every deployment.*eastus, westus, swedencentral"),
        (("--users", 1, "--seconds", 1, "--model", "other"), "no model group 'other'; it has gpt"),
        (("--users", 1, "--seconds", 1, "--profile", "other"), "no 'other'; there are conv, code"),
        (("--users", 1, "--seconds", 1, "--json", "no/such/folder/x.json"), "there is no folder no/such/folder"),
        (("--trace", "nowhere.csv"), "nowhere.csv: cannot be read"),
        (("--users", 1, "--seconds", 1, "--compare", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, cloud: FakeCloud, arguments: tuple[object, ...], told: str
) -> None:
    said = load(local(tmp_path, cloud), *arguments, code=2).replace("\n", " ")
    assert re.search(told, said), said
    assert all(region.requests == 0 for region in cloud.regions.values())


def test_real_providers_are_called_only_with_consent(tmp_path: Path, cloud: FakeCloud) -> None:
    path = config(tmp_path / "config.yaml", row(cloud, "eastus"), REMOTE)
    said = load(path, "--users", 1, "--max-calls", 1, code=2)
    assert "https://x.openai.azure.com" in said
    assert "--yes" in said
    assert cloud["eastus"].requests == 0
    near = ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:80", "https://127.9.9.9")
    far = ("https://api.openai.com/v1", "http://10.0.0.1", "http://localhost.example.com", "", "http://[2001:db8::1]")
    assert [is_local(url) for url in near] == [True] * 4
    assert [is_local(url) for url in far] == [False] * 5


def test_with_consent_the_calls_are_made(tmp_path: Path, cloud: FakeCloud) -> None:
    """The deployment far away is in another model group: a fallback might reach it, these calls do not."""
    path = config(tmp_path / "config.yaml", row(cloud, "eastus"), {**REMOTE, "model_name": "other"})
    arguments = (path, "--users", 1, "--max-calls", 3)
    load(*arguments, code=2)
    assert measured(tmp_path, *arguments, "--yes")["runs"][0]["summary"]["good"] == 3


def test_ctrl_c_gives_the_report_so_far_and_leaves_nothing_behind(tmp_path: Path, cloud: FakeCloud) -> None:
    cloud["eastus"].set_fault(Fault("black_hole", share=0.3))
    out, html = tmp_path / "out.json", tmp_path / "out.html"
    command = [sys.executable, "-m", "benchmarks.load", str(local(tmp_path, cloud, "eastus")), "--rps", "50"]
    command += ["--seconds", "60", "--json", str(out), "--html", str(html)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: cloud["eastus"].served > 20)
            process.send_signal(signal.SIGINT)
            said, complained = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, complained
    assert complained == ""
    assert "interrupted" in said
    found = json.loads(out.read_text())
    assert found["load"]["why"] == "interrupted"
    assert found["load"]["broken_off"] > 0
    assert found["runs"][0]["summary"]["good"] > 20
    assert html.stat().st_size > 0
    wait_until(lambda: cloud["eastus"].connections == 0)


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true in 20 seconds")


def test_late_starts_are_told_and_count_as_time_of_the_call(tmp_path: Path, cloud: FakeCloud) -> None:
    """A machine that is too busy: whatever listens to the Router takes its time on the event loop."""
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,prompt_tokens,output_tokens\n0.0,10,10\n0.2,10,10\n0.25,10,10\n")

    async def test() -> LoadTest:
        async with router_of(cloud, "eastus", callbacks=[lambda _: time.sleep(0.3)], id_secret=SECRET) as router:
            run = LoadTest(Plan(Bounds(), trace=trace), [Target("busy", router, "gpt", fake=False)])
            await run.run()
            return run

    run = asyncio.run(test())
    assert run.late == 2
    assert run.latest >= 0.25
    assert [one.at for one in run.outcomes[0]] == [0.0, 0.2, 0.25]
    last = run.outcomes[0][-1]
    assert last.at + last.seconds == pytest.approx(run.elapsed, abs=0.1), "counted from when it was due"


def test_a_terminal_shows_the_deployments_live(cloud: FakeCloud) -> None:
    screen = StringIO()

    async def show() -> LoadTest:
        async with router_of(cloud, id_secret=SECRET) as router:
            run = LoadTest(Plan(Bounds(calls=20), users=2), [Target("mine", router, "gpt", fake=True)])
            work = asyncio.create_task(run.run())
            await watch(run, work, Console(file=screen, force_terminal=True, width=120))
            return run

    assert asyncio.run(show()).ok == 20
    assert all(float(told) < 60 for told in re.findall(r"([\d.]+) s   calls", screen.getvalue()))
    assert all(name in screen.getvalue() for name in ("mine", "eastus", "swedencentral", "ready", "under way"))


def test_prompts_have_their_size_and_differ_unless_they_share_a_conversation() -> None:
    for tokens in (1, 10, 5000):
        assert len(prompt_of(Arrival(0, tokens, 1), 7)) == max(tokens * 4, len("Call 7: "))
    assert prompt_of(Arrival(0, 50, 1), 1)[:8] != prompt_of(Arrival(0, 50, 1), 2)[:8]
    long, short = (prompt_of(Arrival(0, tokens, 1, 3), tokens) for tokens in (500, 50))
    assert long.startswith(short)


def outcomes(seconds: list[float], failed: int = 0) -> list[Outcome]:
    good = [Outcome(0.0, one, ok=True, prompt_tokens=1, output_tokens=1) for one in seconds]
    return good + [Outcome(0.0, 1.0, ok=False, prompt_tokens=1, output_tokens=1)] * failed


def test_the_interval_is_that_of_drawing_samples_anew() -> None:
    rng = random.Random(5)
    first, second = ([rng.expovariate(1.0) for _ in range(count)] for count in (300, 500))
    found = {one.figure: one for one in differences(outcomes(first, 30), outcomes(second, 10))}
    drawn = sorted(
        statistics.median(rng.choices(second, k=500)) - statistics.median(rng.choices(first, k=300))
        for _ in range(2000)
    )
    assert found["p50"].low == pytest.approx(drawn[50], abs=0.03)
    assert found["p50"].high == pytest.approx(drawn[-50], abs=0.03)
    shares = (300 / 330, 500 / 510)
    deviation = 100 * math.sqrt(sum(p * (1 - p) / n for p, n in zip(shares, (330, 510), strict=True)))
    middle = 100 * (shares[1] - shares[0])
    assert found["answered"].low == pytest.approx(middle - 1.96 * deviation, abs=0.4)
    assert found["answered"].high == pytest.approx(middle + 1.96 * deviation, abs=0.4)
    assert found["answered"].clear


def test_no_difference_is_claimed_where_there_is_none() -> None:
    rng = random.Random(6)
    claimed = 0
    for _ in range(20):
        first, second = ([rng.expovariate(1.0) for _ in range(200)] for _ in range(2))
        claimed += sum(one.clear for one in differences(outcomes(first), outcomes(second)))
    assert claimed <= 6, "of 60; one in twenty is expected"


def test_figures_that_one_side_does_not_have_are_left_out() -> None:
    assert differences([], outcomes([1.0])) == []
    assert [one.figure for one in differences(outcomes([], 3), outcomes([1.0]))] == ["answered"]


def test_binomial_numbers_have_their_mean_and_variance() -> None:
    rng = random.Random(1)
    for trials, chance in ((5, 0.3), (200, 0.97), (1000, 0.5), (50, 0.0), (50, 1.0)):
        drawn = [binomial(trials, chance, rng) for _ in range(4000)]
        assert statistics.mean(drawn) == pytest.approx(trials * chance, rel=0.02)
        assert statistics.pvariance(drawn) == pytest.approx(trials * chance * (1 - chance), rel=0.15)


def test_a_plan_says_what_it_is() -> None:
    plan = Plan(Bounds(seconds=1), users=3, prompt_tokens=1000, stream=True)
    assert plan.traffic == "3 users, each with one call after another, sizes as in conv, 1,000 prompt tokens, streamed"
    plan = Plan(Bounds(), trace=Path("t.csv"), speed=2.0, output_tokens=9)
    assert plan.traffic == "t.csv at 2 times its speed, 9 output tokens"
    assert str(Bounds()) == "the end of the trace"
    assert str(Bounds(60, 1000, 2.5)) == "60 s, 1,000 calls, $2.5"
    with pytest.raises(ConfigError, match="one of"):
        Plan(Bounds(seconds=1))
