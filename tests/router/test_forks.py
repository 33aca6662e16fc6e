"""Routers made before a fork, in real servers: gunicorn with --preload, multiprocessing, and bare forks."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.servers import Answer, Asked, serving

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 60.0
"""Seconds after which a process is held to hang."""

COMMON = """
import asyncio, json, os, sys, time
from turnout import Router

def row(model, name):
    params = {"model": model, "api_base": os.environ["UPSTREAM"], "api_key": "key-of-mine"}
    return {"model_name": name, "litellm_params": params, "model_info": {"id": name}}

router = Router(
    [row("openai/gpt-4o", "native"), row("anthropic/claude-x", "claude")],
    id_secret="a secret of the test suite", transcripts="sqlite:///" + os.environ["TURNS"], num_retries=0,
)
router.responses("native", "warm-up")
router.responses("claude", "warm-up")
asyncio.run(router.aresponses("native", "warm-up"))
"""

APP = (
    COMMON
    + """
def app(environ, start_response):
    _, group, how, word = environ["PATH_INFO"].split("/")
    if how == "async":
        answer = asyncio.run(router.aresponses(group, word, timeout=20))
    elif how == "stream":
        answer = list(router.responses(group, word, timeout=20, stream=True))[-1].response
    else:
        answer = router.responses(group, word, timeout=20)
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps([os.getpid(), answer.id, answer.output_text]).encode()]
"""
)


def words_of(asked: Asked) -> str:
    """The last thing that the user said."""
    given = asked.body.get("input") or asked.body["messages"][-1]["content"]
    if isinstance(given, list):
        given = given[-1].get("content", given[-1].get("text"))
    return given if isinstance(given, str) else given[-1]["text"]


def echo(asked: Asked) -> Answer:
    """Says what it was told, in the form in which it was asked."""
    text = words_of(asked)
    if "/messages" in asked.path:
        body: dict[str, Any] = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
        return Answer(body=body)
    said = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": said}
    made = {
        "id": f"resp_{os.urandom(16).hex()}", "object": "response", "created_at": 1, "status": "completed",
        "model": "m", "output": [message],
    }  # fmt: skip
    if not asked.body.get("stream"):
        return Answer(body=made)
    events = [
        {"type": "response.created", "sequence_number": 0, "response": {**made, "status": "in_progress", "output": []}},
        {"type": "response.completed", "sequence_number": 1, "response": made},
    ]
    raw = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()
    return Answer(raw=raw, headers={"content-type": "text/event-stream"})


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with serving(echo) as server:
        folders = [str(ROOT / "router"), str(ROOT / "adapters"), str(tmp_path)]
        yield {
            **os.environ, "UPSTREAM": server.url, "TURNS": str(tmp_path / "turns.db"), "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": os.pathsep.join(folders),
        }  # fmt: skip


@contextmanager
def gunicorn(folder: Path, environment: dict[str, str], *options: str) -> Iterator[str]:
    """A real server with two workers; it must end by itself when it is told to, and say nothing odd."""
    (folder / "preloaded_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, (folder / "log").open("w+") as log:
        command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--timeout", "60", *options]
        command += ["--bind", f"fd://{listener.fileno()}", "preloaded_app:app"]
        server = subprocess.Popen(
            command, env=environment, cwd=folder, pass_fds=[listener.fileno()], stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                assert server.wait(LIMIT) == 0
            finally:
                server.kill()
        log.seek(0)
        lines = [line for line in log.read().splitlines() if not re.match(r"\[[^]]+\] \[\d+\] \[INFO\]", line)]
        assert lines == []


@pytest.mark.parametrize("options", [(), ("--worker-class", "gthread", "--threads", "4")], ids=["sync", "gthread"])
def test_gunicorn_with_preload(tmp_path: Path, environment: dict[str, str], options: tuple[str, ...]) -> None:
    """Each request gets the answer to its own words, and no id is given twice, by whichever worker."""
    found: list[Any] = []

    def client(number: int, url: str) -> None:
        for turn in range(15):
            group, how = ("native", "claude")[turn % 2], ("plain", "async", "stream")[turn % 3]
            how = "plain" if (group, how) == ("claude", "stream") else how
            word = f"word-{number}-{turn}"
            with urlopen(f"{url}/{group}/{how}/{word}", timeout=30) as answer:
                found.append((word, *json.load(answer)))

    with gunicorn(tmp_path, environment, *options) as url:
        threads = [threading.Thread(target=client, args=(number, url)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 6 * 15
    assert [(word, said) for word, _, _, said in found if word != said] == []
    assert len({made for _, _, made, _ in found}) == len(found)
    assert len({process for _, process, _, _ in found}) == 2


def run(script: str, environment: dict[str, str]) -> Any:
    """What a program prints, as JSON; it must end, and say nothing besides."""
    command = [sys.executable, "-c", COMMON + script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


POOL = """
import multiprocessing

def ask(word):
    one = router.responses("native", word, timeout=20)
    two = asyncio.run(router.aresponses("claude", word, timeout=20))
    return [word, one.output_text, two.output_text, one.id, two.id]

with multiprocessing.get_context("fork").Pool(3) as pool:
    print(json.dumps(pool.map(ask, [f"word-{number}" for number in range(30)], chunksize=2)))
"""


def test_multiprocessing_with_fork(environment: dict[str, str]) -> None:
    found = run(POOL, environment)
    assert all(word == one == two for word, one, two, _, _ in found)
    ids = [made for _, _, _, one, two in found for made in (one, two)]
    assert len(set(ids)) == len(ids) == 60


CHILDREN = """
def in_a_child(work):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(work()).encode())
        router.close()
        os._exit(0)
    os.close(writing)
    return reading

def told(reading):
    with os.fdopen(reading, "rb") as pipe:
        found = json.loads(pipe.read())
    os.wait()
    return found
"""

HISTORY = (
    CHILDREN
    + """
alice = told(in_a_child(lambda: router.responses("claude", "I am Alice").id))
bob = told(in_a_child(lambda: router.responses("claude", "I am Bob").id))
again = told(in_a_child(lambda: router.responses("claude", "Who am I?", previous_response_id=alice).id))
items = router.list_input_items(again, limit=10, order="asc")
print(json.dumps([alice, bob, again, json.loads(items.to_json())]))
"""
)


def test_histories_of_two_workers_stay_apart(environment: dict[str, str]) -> None:
    alice, bob, again, items = run(HISTORY, environment)
    assert len({alice, bob, again}) == 3
    assert "Alice" in json.dumps(items)
    assert "Bob" not in json.dumps(items)


CROSSED = (
    CHILDREN
    + """
import threading

stop = threading.Event()

def busy():
    while not stop.is_set():
        router.responses("native", "of the parent")

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(8):
    words = [f"{number}-{turn}" for turn in range(5)]
    children.append(in_a_child(lambda: [router.responses("native", one, timeout=20).output_text for one in words]))
    time.sleep(0.02)
found = [told(one) for one in children]
stop.set()
for thread in threads:
    thread.join()
print(json.dumps([found, router.responses("native", "the parent again").output_text]))
"""
)


def test_children_of_a_busy_parent_get_their_own_answers(environment: dict[str, str]) -> None:
    """Forked while other threads of the parent are in the middle of calls, holding locks and connections."""
    found, parent = run(CROSSED, environment)
    assert found == [[f"{number}-{turn}" for turn in range(5)] for number in range(8)]
    assert parent == "the parent again"
