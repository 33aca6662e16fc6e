"""The fake cloud keeps its word, the traffic has the trace's figures, the demonstration passes and fails rightly."""

import csv
import gzip
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from itertools import islice, pairwise
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.recorded import need_data
from turnout.sim.demo import Demo
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion
from turnout.sim.traffic import OUTPUT_TOKENS, PROMPT_TOKENS, RATE, VARIATION, arrivals

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(url: str, method: str, path: str, body: object = None, key: str = "k") -> tuple[int, bytes]:
    request = urllib.request.Request(
        url + path, None if body is None else json.dumps(body).encode(), {"api-key": key}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("prefix", ["/openai/v1", "/openai", "/v1"])
def test_answers_follow_the_published_schema(cloud: FakeCloud, prefix: str) -> None:
    url, query = cloud["eastus"].url, "?api-version=2025-04-01-preview" if prefix == "/openai" else ""
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    for extra in ({}, {"tools": tools, "tool_choice": "required"}, {"background": True}):
        status, raw = ask(url, "POST", f"{prefix}/responses{query}", {"model": "m", "input": "hi", **extra})
        assert status == 200
        made = OpenAIResponse.model_validate_json(raw)
        status, raw = ask(
            url, "POST", f"{prefix}/responses{query}", {"model": "m", "input": "hi", "stream": True, **extra}
        )
        events = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]
        for number, event in enumerate(events):
            assert EVENT.validate_python(event).sequence_number == number
        assert ask(url, "GET", f"{prefix}/responses/{made.id}{query}")[0] == 200
        assert ask(url, "DELETE", f"{prefix}/responses/{made.id}{query}")[0] == 200
        assert ask(url, "GET", f"{prefix}/responses/{made.id}{query}")[0] == 404


def test_state_belongs_to_one_region_and_keys_are_checked(cloud: FakeCloud) -> None:
    made = json.loads(ask(cloud["eastus"].url, "POST", "/v1/responses", {"model": "m", "input": "hi"})[1])
    follow = {"model": "m", "input": "go on", "previous_response_id": made["id"]}
    assert ask(cloud["eastus"].url, "POST", "/v1/responses", follow)[0] == 200
    assert ask(cloud["westus"].url, "POST", "/v1/responses", follow)[0] == 400
    assert cloud["westus"].foreign_ids == 1
    cloud["westus"].api_keys = {"right"}
    assert ask(cloud["westus"].url, "POST", "/v1/responses", {"input": "hi"}, "wrong")[0] == 401


def test_a_dead_region_comes_back_at_its_address(cloud: FakeCloud) -> None:
    url = cloud["eastus"].url
    cloud.kill("eastus")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 1).close()
    cloud.revive("eastus")
    assert ask(url, "POST", "/v1/responses", {"model": "m", "input": "hi"})[0] == 200


def test_nothing_is_left_behind() -> None:
    before = threading.active_count()
    with FakeCloud([FakeRegion("a", latency=5)]) as cloud:
        waiting = socket.create_connection(("127.0.0.1", int(cloud["a"].url.rpartition(":")[2])))
        waiting.sendall(b"POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
    waiting.close()
    assert threading.active_count() == before


def figures(values: list[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(values, n=20)
    return cuts[9], cuts[14], cuts[18]


def test_traffic_has_the_figures_it_states() -> None:
    made = list(islice(arrivals(random.Random(3)), 20_000))
    gaps = [after.at - before.at for before, after in pairwise(made)]
    assert len(made) / made[-1].at == pytest.approx(RATE, rel=0.05)
    assert statistics.pstdev(gaps) / statistics.mean(gaps) == pytest.approx(VARIATION, rel=0.05)
    assert figures([float(one.output_tokens) for one in made])[0] == pytest.approx(OUTPUT_TOKENS[4], rel=0.05)
    assert figures([float(one.prompt_tokens) for one in made])[2] == pytest.approx(PROMPT_TOKENS[7], rel=0.05)
    assert list(islice(arrivals(random.Random(3)), 5)) == made[:5]


def test_traffic_has_the_figures_of_the_trace() -> None:
    with gzip.open(need_data() / "traces" / "azure2023_conv.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    made = list(islice(arrivals(random.Random(4)), len(rows)))
    for mine, theirs in (("prompt_tokens", "prompt_tokens"), ("output_tokens", "output_tokens")):
        drawn = figures([float(getattr(one, mine)) for one in made])
        recorded = figures([float(row[theirs]) for row in rows])
        assert drawn == pytest.approx(recorded, rel=0.1)


def test_the_demonstration_ends_by_itself_and_passes() -> None:
    command = [sys.executable, "-c", "from turnout.cli import main; main()", "demo", "--seconds", "6", "--rate", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "westus died" in done.stdout
    assert "passed" in done.stdout
    assert done.stderr == ""


def test_the_demonstration_can_fail() -> None:
    demo = Demo(seconds=6, rate=1, seed=1, interactive=False)
    assert not demo.tally.passed, "nothing was called"
    demo.tally.calls, demo.tally.follow_ups, demo.tally.right = 10, 5, 5
    assert demo.tally.passed
    demo.tally.right = 4
    assert not demo.tally.passed
    demo.tally.right, demo.tally.failed = 5, 1
    assert not demo.tally.passed
