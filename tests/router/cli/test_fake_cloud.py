"""`turnout fake-cloud`: regions on sockets, the configuration that calls them, an orderly end."""

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from turnout.cli.app import app
from turnout.router import Router

CLOUD = """
regions:
  eastus: {first_token: 0.01, per_output_token: 0.0001}
  claude: {provider: anthropic, first_token: 0.01, per_output_token: 0.0001}
faults: [eastus down 0.1s-]
"""


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    path = tmp_path / "cloud.yaml"
    path.write_text(CLOUD)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(cloud: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from turnout.cli import main; main()", "fake-cloud", str(cloud)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        lines = [process.stdout.readline() for _ in range(17)]
        rows = yaml.safe_load("".join(lines))["model_list"]
        assert [one["model_info"]["id"] for one in rows] == ["eastus", "claude"]
        assert lines[0] == f"# eastus (azure): {rows[0]['litellm_params']['api_base']}\n"
        assert "eastus: down begins" in process.stderr.readline()
        with Router(rows, timeout=20) as router:
            attempts = [router.responses("fake", "ask-000000000001").route.attempts for _ in range(4)]
        assert {one[-1].deployment for one in attempts} == {"claude"}
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def two_free_ports() -> int:
    """The first of two, below those that the system gives to connections."""
    for port in range(20_000, 30_000, 2):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in (port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
    raise AssertionError("there are no two free ports")


def test_it_may_end_by_itself_at_ports_of_one_s_choice(cloud: Path) -> None:
    port = two_free_ports()
    done = CliRunner().invoke(app, ["fake-cloud", str(cloud), "--port", str(port), "--seconds", "0.1"])
    assert done.exit_code == 0
    urls = [row["litellm_params"]["api_base"] for row in yaml.safe_load(done.stdout)["model_list"]]
    assert urls == [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("faults: [eastus down 1-2]", "regions: is empty"),
        ("regions: {eastus: {}}\nfaults: [westus down 1-2]", "there is no region 'westus'; there are eastus"),
        ("regions: {eastus: {spill: westus}}", "regions.eastus.spill: there is no other region 'westus'"),
        ("regions: {eastus: {tmp: 1}}", "regions.eastus.tmp: unknown key"),
    ],
)
def test_mistakes_are_told(cloud: Path, text: str, told: str) -> None:
    cloud.write_text(text)
    done = CliRunner().invoke(app, ["fake-cloud", str(cloud), "--seconds", "0.1"])
    assert done.exit_code == 2
    assert told in done.output


def test_a_port_that_is_taken(cloud: Path) -> None:
    from turnout.sim.fake_cloud import FakeCloud
    from turnout.sim.region import FakeRegion

    with FakeCloud([FakeRegion("other")]) as other:
        port = other["other"].url.rpartition(":")[2]
        done = CliRunner().invoke(app, ["fake-cloud", str(cloud), "--port", port, "--seconds", "0.1"])
    assert done.exit_code == 2
    assert f"--port {port}: " in done.output
