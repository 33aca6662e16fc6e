"""A conversation that changes providers in the middle of using tools: what cannot be read stays behind, and is told."""

import json
from typing import Any

import pytest

from tests.servers import Answer, Asked, Server, serving
from tests.wire_answers import Said, answer
from turnout import Router, UnsupportedParameterError
from turnout.sim.replies import encode_event, stream_events

Json = dict[str, Any]
TOOLS = [
    {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
]
SECRET = "0123456789abcdef0123456789abcdef"


def responses_answer(output: list[Json]) -> Json:
    return {
        "id": "resp_0123456789abcdef0123456789abcdef", "object": "response", "created_at": 1, "status": "completed",
        "model": "gpt", "output": output, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True,
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    }  # fmt: skip


REASONED = [
    {"type": "reasoning", "id": "rs_68a1", "summary": [], "encrypted_content": "gAAAA-of-azure"},
    {"type": "function_call", "id": "fc_68a2", "call_id": "call_azure", "name": "look", "arguments": '{"at":"A"}', "status": "completed"},
]  # fmt: skip


class Cloud:
    """Three providers on one server, each of which can be down."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.bodies: dict[str, list[Json]] = {"azure": [], "bedrock": [], "gemini": []}
        self.says = {
            "bedrock": Said(thought="B next.", signature="c2lnbmF0dXJlLWI=", calls=[("toolu_b", "look", {"at": "B"})]),
            "gemini": Said(text="A and B are fine."),
        }

    def __call__(self, asked: Asked) -> Answer:
        name = "azure" if "/openai/" in asked.path else "bedrock" if "/model/" in asked.path else "gemini"
        if name in self.down:
            return Answer(503, {"error": {"message": "down", "code": "server_down"}})
        self.bodies[name].append(asked.body)
        if name == "azure":
            whole = responses_answer(REASONED)
            if asked.body.get("stream"):
                return Answer(raw=b"".join(map(encode_event, stream_events(whole))))
            return Answer(body=whole)
        wire = "invoke" if name == "bedrock" else "gemini"
        return Answer(raw=answer(wire, self.says[name], stream="stream" in asked.path.lower()))


def router_on(server: Server, **settings: Any) -> Router:
    rows = [
        ("gpt", {"model": "azure/gpt-5", "api_key": "k" * 20, "api_base": server.url, "wire": "openai-responses"}),
        ("claude", {"model": "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "api_key": "k" * 20,
                    "api_base": server.url, "aws_region_name": "eu-west-1"}),
        ("gemini", {"model": "gemini/gemini-3-pro", "api_key": "k" * 20, "api_base": server.url}),
    ]  # fmt: skip
    listed = [{"model_name": name, "litellm_params": params} for name, params in rows]
    return Router(listed, fallbacks=[{"gpt": ["claude", "gemini"]}], num_retries=0, **settings)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["without secret", "with secret"])
def test_azure_to_claude_to_gemini(stream: bool, secret: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNOUT_ID_SECRET", raising=False)
    cloud = Cloud()
    settings = {} if secret is None else {"id_secret": secret}

    def ask(router: Router, items: list[Any]) -> Any:
        asked = {"tools": TOOLS, "reasoning": {"effort": "low", "summary": "auto"}}
        answered: Any = router.responses("gpt", items, **asked, stream=stream and bool(cloud.down))
        if not (stream and cloud.down):
            return answered
        events = list(answered)
        assert answered.error is None
        return events[-1].response

    with serving(cloud) as server, router_on(server, **settings) as router:
        items: list[Any] = [{"role": "user", "content": "Look at A and B."}]
        first = ask(router, items)
        assert first.route.model_group == "gpt"
        items += [*first.output, {"type": "function_call_output", "call_id": "call_azure", "output": "fine"}]

        cloud.down = {"azure"}
        second = ask(router, items)
        assert second.route.fallback == "claude"
        assert any("reasoning" in note and "bedrock" in note for note in second.route.notes)
        sent = cloud.bodies["bedrock"][-1]
        assert "gAAAA" not in json.dumps(sent)
        assert "thinking" not in sent, "budget thinking is off for a turn whose calls came without their reasoning"
        calls = [item for item in second.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["look"]
        items += [*second.output, {"type": "function_call_output", "call_id": "toolu_b", "output": "fine"}]

        cloud.down = {"azure", "bedrock"}
        third = ask(router, items)
        assert third.output_text == "A and B are fine."
        assert third.route.fallback == "gemini"
        assert any("reasoning" in note and "gemini" in note for note in third.route.notes)
        contents = cloud.bodies["gemini"][-1]["contents"]
        names = [part["functionCall"]["name"] for one in contents for part in one["parts"] if "functionCall" in part]
        answers = [part for one in contents for part in one["parts"] if "functionResponse" in part]
        assert (names, len(answers)) == (["look", "look"], 2)
        assert "c2lnbmF0dXJlLWI=" not in json.dumps(contents)
        items += [*third.output, {"role": "user", "content": "And again?"}]

        cloud.down = {"bedrock", "gemini"}
        back = ask(router, items)
        assert back.route.model_group == "gpt"
        sent = cloud.bodies["azure"][-1]
        kinds = [item.get("type", item.get("role")) for item in sent["input"]]
        assert "_tn_" not in json.dumps(sent), "no provider knows the ids of translated items"
        assert "turnout1." not in json.dumps(sent)
        assert kinds.count("reasoning") == 1, "its own reasoning comes along, the others' does not"
        assert kinds.count("function_call") == 2
        assert any("reasoning" in note and "azure" in note for note in back.route.notes)


def test_reasoning_goes_home_first_and_elsewhere_without_it() -> None:
    """Two accounts of one provider: the reasoning's own is asked first; if it is down, the other gets it stripped."""
    bodies: dict[str, list[Json]] = {"one": [], "two": []}
    down: set[str] = set()

    def handler(asked: Asked) -> Answer:
        name = "one" if asked.headers["authorization"].endswith("one") else "two"
        if name in down:
            return Answer(503, {"error": {"message": "down"}})
        bodies[name].append(asked.body)
        items = [{**REASONED[0], "encrypted_content": f"gAAAA-of-{name}"}, REASONED[1]]
        return Answer(body=responses_answer(items))

    with serving(handler) as server:
        rows = [
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/gpt-5", "api_key": f"key-{name}", "api_base": server.url},
            }
            for name in ("one", "two")
        ]
        with Router(rows, id_secret=SECRET, num_retries=1) as router:
            for _ in range(10):
                items: list[Any] = [{"role": "user", "content": "hi"}]
                items += router.responses("m", items).output
                home = items[1].encrypted_content.rpartition("-")[2]
                items.append({"type": "function_call_output", "call_id": "call_azure", "output": "x"})
                again = router.responses("m", items)
                assert bodies[home][-1]["input"][1]["encrypted_content"] == f"gAAAA-of-{home}"
                assert again.route.affinity == "pinned"
                assert again.route.notes == ()
            down.add(home)
            other = "two" if home == "one" else "one"
            moved = router.responses("m", items)
            assert moved.route.affinity == "none"
            assert any("reasoning" in note for note in moved.route.notes)
            sent = bodies[other][-1]["input"]
            assert [item.get("type", "message") for item in sent] == [
                "message",
                "function_call",
                "function_call_output",
            ]
            assert "id" not in sent[1], "an id of the other account is unknown here"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_reasoning_of_nobody_knows_whom_is_left_out_when_it_is_refused(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug 20: without an id_secret nothing tells whose reasoning it is; the account that cannot read it says so."""
    monkeypatch.delenv("TURNOUT_ID_SECRET", raising=False)

    def handler(asked: Asked) -> Answer:
        if "gAAAA" in json.dumps(asked.body):
            message = "The encrypted content for item rs_68a1 could not be verified."
            return Answer(
                400,
                {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_encrypted_content"}},
            )
        whole = responses_answer([])
        raw = b"".join(map(encode_event, stream_events(whole))) if stream else None
        return Answer(body=whole, raw=raw)

    with serving(handler) as server:
        row = {"model_name": "m", "litellm_params": {"model": "openai/gpt-5", "api_key": "k", "api_base": server.url}}
        with Router([row], num_retries=0) as router:
            items = [
                {"role": "user", "content": "hi"},
                *REASONED,
                {"type": "function_call_output", "call_id": "call_azure", "output": "x"},
            ]
            answered: Any = router.responses("m", items, stream=stream)
            response = list(answered)[-1].response if stream else answered
            assert response.status == "completed"
            assert any("reasoning" in note for note in response.route.notes)
            assert len(server.seen) == 2


def test_what_one_provider_cannot_honour_goes_to_one_that_can() -> None:
    """A group of two providers: the call is not refused because it happened to be routed to the wrong one."""

    def handler(asked: Asked) -> Answer:
        if asked.path == "/v1/messages":
            return Answer(raw=answer("anthropic-messages", Said(text="claude"), stream=False))
        return Answer(body=responses_answer([]))

    with serving(handler) as server:
        rows = [
            {
                "model_name": "m",
                "litellm_params": {"model": "anthropic/claude-sonnet-4-6", "api_key": "k", "api_base": server.url},
            },
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/gpt-5", "api_key": "k", "api_base": f"{server.url}/v1"},
            },
        ]
        with Router(rows, routing_strategy="simple-shuffle") as router:
            routes = [router.responses("m", "hi", truncation="auto").route for _ in range(12)]
            assert {route.attempts[-1].outcome for route in routes} == {"ok"}
            refused = [attempt for route in routes for attempt in route.attempts[:-1]]
            assert refused
            assert {(one.outcome, one.status, one.error) for one in refused} == {
                ("caller", None, "UnsupportedParameterError")
            }
            assert not any(one.path == "/v1/messages" for one in server.seen)
            assert all(one.state == "ready" for one in router.status())
        with Router(rows[:1]) as only, pytest.raises(UnsupportedParameterError):
            only.responses("m", "hi", truncation="auto")
