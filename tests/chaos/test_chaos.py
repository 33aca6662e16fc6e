"""A minute of chaos in every run of the suite; what it showed wrong is told by the run itself."""

import subprocess
import sys

import pytest

SECONDS = 30
LIMIT = 100.0
"""Seconds after which a run is killed, should its own watchdog fail."""


@pytest.mark.parametrize("how", [["--seed", "1"], ["--seed", "2", "--slow"]], ids=["aiohttp", "httpcore2"])
def test_nothing_hangs_and_nothing_is_left(how: list[str]) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seconds", str(SECONDS), *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-8_000:]
    assert done.stdout.splitlines()[-1] == "0 things wrong"
