"""`turnout simulate`: options, output, exit codes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from turnout.cli.app import app
from turnout.config.settings import STRATEGY_NAMES

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {model: azure/gpt-4o, api_base: "https://eastus.openai.azure.com", api_key: os.environ/EAST_KEY}
  - model_name: gpt
    litellm_params: {model: azure/gpt-4o, api_base: "https://westus.openai.azure.com", api_key: os.environ/WEST_KEY}
router_settings: {routing_strategy: least-busy, timeout: 60, redis_host: somewhere}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def simulate(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["simulate", str(config), "--jobs", "1", *options])


def test_tables_a_page_and_json(config: Path, tmp_path: Path) -> None:
    html, data = tmp_path / "report.html", tmp_path / "report.json"
    done = simulate(
        config, "--minutes", "2", "--fault", "eastus down 30s-1m", "--html", str(html), "--json", str(data)
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for told in ("what the callers got", "least-busy", "deployments: least-busy", "eastus down, 30-60 s", "redis_host"):
        assert told in done.output
    assert "<svg" in html.read_text()
    (run,) = json.loads(data.read_text())["runs"]
    assert run["name"] == "least-busy"
    assert run["summary"]["calls"] > 400
    assert run["deployments"]["eastus"]["failed"] > 0
    assert run["marks"] == [{"start": 30, "end": 60, "label": "eastus down"}]


def test_json_on_standard_output_is_nothing_but_json(config: Path) -> None:
    done = simulate(
        config, "--minutes", "0.5", "--json", "-", "--strategy", "simple-shuffle", "--strategy", "least-busy"
    )
    assert done.exit_code == 0
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["simple-shuffle", "least-busy"]
    assert "what the callers got" in done.stderr


def test_all_strategies_and_several_seeds(config: Path) -> None:
    done = simulate(config, "--minutes", "0.2", "--compare", "--seeds", "2", "--seed", "5", "--json", "-")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert [run["name"] for run in report["runs"]] == list(STRATEGY_NAMES)
    assert report["facts"]["seeds"] == "5, 6 together; the charts show 5"


def test_the_cloud_file_gives_what_the_options_do_not(config: Path, tmp_path: Path) -> None:
    cloud = tmp_path / "cloud.yaml"
    cloud.write_text(
        "regions: {eastus: {per_output_token: 0.001, jitter: 0}}\nfaults: [westus down 0-]\n"
        "traffic: {profile: code, seconds: 60, stream: 1}\n"
    )
    done = simulate(config, "--cloud", str(cloud), "--rate", "3", "--json", "-")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["facts"]["traffic"] == "profile code, 3 calls/s, 1 minutes, 100% streams"
    assert report["facts"]["regions of default speed"].startswith("westus (")
    assert report["runs"][0]["deployments"]["westus"]["ok"] == 0
    assert report["runs"][0]["summary"]["first_p50"] is not None


def test_a_trace_takes_the_place_of_a_profile(config: Path, tmp_path: Path) -> None:
    trace, cloud = tmp_path / "calls.csv", tmp_path / "cloud.yaml"
    trace.write_text("t_s,prompt_tokens,output_tokens\n" + "".join(f"{at},100,10\n" for at in range(40)))
    cloud.write_text("traffic: {profile: code, rate: 9}\n")
    done = simulate(config, "--cloud", str(cloud), "--trace", str(trace), "--minutes", "0.25", "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["runs"][0]["summary"]["calls"] == 15


@pytest.mark.parametrize(("bounds", "code"), [("ok=50,p99=1000", 0), ("ok=50,p99=0.01", 1)])
def test_a_bound_that_is_missed_is_an_exit_code(config: Path, bounds: str, code: int) -> None:
    done = simulate(config, "--minutes", "0.5", "--fail-under", bounds)
    assert done.exit_code == code
    assert ("least-busy: p99 is" in done.output) == (code == 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fault", "northus down 1m-2m"], "nothing is called 'northus'; there are the deployments eastus, westus"),
        (["--fault", "eastus down"], "--fault: 'eastus down' is not"),
        (["--strategy", "least-bussy"], "--strategy: unknown strategy 'least-bussy'; did you mean 'least-busy'?"),
        (["--profile", "chat"], "--profile: no traffic is called 'chat'"),
        (["--profile", "conv", "--trace", "x"], "a trace has its own statistics"),
        (["--trace", "x", "--rate", "3"], "has its own profile and rate"),
        (["--trace", "nowhere.csv"], "nowhere.csv"),
        (["--model", "gtp"], "no model group 'gtp'"),
        (["--fail-under", "p98=3"], "--fail-under: no figure is called 'p98'"),
        (["--html", "/nowhere/report.html"], "there is no folder /nowhere"),
        (["--cloud", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_mistakes_are_told_before_anything_is_played(config: Path, options: list[str], told: str) -> None:
    done = simulate(config, *options)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_gives_the_report_so_far_and_leaves_nothing_behind(config: Path, tmp_path: Path, jobs: str) -> None:
    """The interrupt goes to the whole group of processes, as a terminal sends it."""
    data = tmp_path / "report.json"
    command = [sys.executable, "-c", "from turnout.cli import main; main()", "simulate", str(config)]
    options = ["--minutes", "600", "--strategy", "least-busy", "--strategy", "simple-shuffle", "--json", str(data)]
    process = subprocess.Popen(
        [*command, *options, "--jobs", jobs], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stderr is not None
    try:
        assert b"simulated" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    report = json.loads(data.read_text())
    assert all(run["summary"]["calls"] > 0 for run in report["runs"])
    assert len(report["runs"]) == int(jobs)
    assert "up to" in report["facts"]["stopped"]
    for _ in range(200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process was left behind")
