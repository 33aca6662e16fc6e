"""The fixture as users have it: another pytest, in a folder of its own, that runs what the documentation shows."""

import re
import subprocess
import sys
import threading
from pathlib import Path

from turnout import Router
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.region import FakeRegion
from turnout.testing import rows_for

PAGE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
CONFTEST, TESTS = re.findall(r"<!-- not run: [^\n]+ -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
LEFT_BEHIND = """
import threading

import pytest

started = []


def test_a_cloud_is_closed_though_the_test_fails(fake_cloud):
    started.append(fake_cloud("eastus"))
    started.append(fake_cloud("westus"))
    raise RuntimeError("the test's own")


def test_nothing_is_left():
    assert not [one for one in threading.enumerate() if one.name == "fake-cloud"]
    assert not any(cloud.is_up(name) for cloud in started for name in cloud.regions)
"""


def run_pytest(folder: Path, test: str, conftest: str = CONFTEST) -> str:
    """What pytest prints of a file of tests."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run([*command, str(folder)], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_what_the_documentation_shows_passes(tmp_path: Path) -> None:
    assert "2 passed" in run_pytest(tmp_path, TESTS)


def test_clouds_are_closed_whatever_happens(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, LEFT_BEHIND)
    assert "1 failed, 1 passed" in said
    assert "RuntimeError: the test's own" in said


def test_nothing_is_loaded_that_was_not_asked_for(tmp_path: Path) -> None:
    assert "fixture 'fake_cloud' not found" in run_pytest(tmp_path, TESTS, conftest="")


def test_rows_for_regions_of_any_provider() -> None:
    regions = [FakeRegion("eastus", api_keys=("the-key",)), AnthropicRegion("claude"), GeminiRegion("gemini")]
    with FakeCloud(regions) as cloud:
        for region in cloud.regions:
            with Router(rows_for(cloud, region, group="any")) as router:
                assert router.responses("any", "hello").route.deployment == region
        assert [row["model_info"]["id"] for row in rows_for(cloud)] == ["eastus", "claude", "gemini"]
        (row,) = rows_for(cloud, "eastus", weight=2.0, model="azure/gpt-5")
        assert row["model_name"] == "gpt"
        assert (row["litellm_params"]["weight"], row["litellm_params"]["model"]) == (2.0, "azure/gpt-5")
    assert not [one for one in threading.enumerate() if one.name == "fake-cloud"]
