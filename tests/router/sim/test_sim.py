"""The fake cloud keeps its word, the demonstration passes and fails rightly."""

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.router.sim.talking import answer_to
from turnout.sim.demo import Demo
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(url: str, method: str, path: str, body: object = None, key: str = "k") -> tuple[int, bytes]:
    request = urllib.request.Request(
        url + path, None if body is None else json.dumps(body).encode(), {"api-key": key}, method=method
    )
    return answer_to(request)


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
