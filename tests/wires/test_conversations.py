"""A tool-use conversation of three turns with reasoning, on each wire, with nothing kept but the items."""

import base64
import json
from typing import Any

import pytest

from tests.servers import Answer, Asked, serving
from tests.wire_answers import Said, answer
from turnout import Router

Json = dict[str, Any]
TOOLS = [
    {
        "type": "function",
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    }
]
SIGNATURES = [base64.b64encode(bytes(range(40 * turn, 40 * turn + 40))).decode() + "+/==" for turn in range(3)]
SCRIPT = [
    Said(thought="First I look at A.", signature=SIGNATURES[0], calls=[("call_a1", "look", {"at": "A"}), ("call_a2", "look", {"at": "Å"})]),
    Said(text="A is done.", thought="Now B.", signature=SIGNATURES[1], calls=[("call_b", "look", {})]),
    Said(text="Both are done.", thought="That is all.", signature=SIGNATURES[2]),
]  # fmt: skip
ROWS: dict[str, Json] = {
    "anthropic-messages": {"model": "anthropic/claude-sonnet-4-6"},
    "claude on vertex": {"model": "vertex_ai/claude-sonnet-4-6", "vertex_project": "p", "vertex_location": "eu"},
    "invoke": {"model": "bedrock/eu.anthropic.claude-sonnet-4-6", "aws_region_name": "eu-west-1"},
    "bedrock-converse": {"model": "bedrock/converse/eu.anthropic.claude-sonnet-4-6", "aws_region_name": "eu-west-1"},
    "nova": {"model": "bedrock/us.amazon.nova-2-lite-v1:0", "aws_region_name": "eu-west-1"},
    "gemini": {"model": "gemini/gemini-3-pro"},
    "gemini on vertex": {"model": "vertex_ai/gemini-3-pro", "vertex_project": "p", "vertex_location": "global"},
    "openai-chat": {"model": "deepseek/deepseek-reasoner", "wire": "openai-chat"},
    "openrouter": {"model": "openrouter/x/y", "wire": "openai-chat"},
}
FORMS = {
    "claude on vertex": "anthropic-messages",
    "nova": "bedrock-converse",
    "gemini on vertex": "gemini",
    "openrouter": "openai-chat",
}


def replayed(case: str, body: Json) -> list[Json]:
    """What the model's side of the request is, turn by turn: reasoning text, signature, names of calls."""
    turns: list[Json] = []
    key, role = ("contents", "model") if case.startswith("gemini") else ("messages", "assistant")
    for message in body[key]:
        if message["role"] == role:
            turns.append(message)
    return turns


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("case", ROWS)
def test_three_turns(case: str, stream: bool) -> None:
    form = FORMS.get(case, case)

    def handler(asked: Asked) -> Answer:
        turn = len(replayed(case, asked.body))
        return Answer(raw=answer(form, SCRIPT[turn], stream=stream))

    with serving(handler) as server:
        row = {
            "model_name": "m",
            "litellm_params": {**ROWS[case], "api_key": "a-key-of-many-chars", "api_base": server.url},
        }
        with Router([row], num_retries=0) as router:
            items: list[Any] = [{"role": "user", "content": "Look at A and B."}]
            for turn in range(3):
                response: Any = router.responses("m", items, tools=TOOLS, stream=stream)
                if stream:
                    events = list(response)
                    assert response.error is None, response.error
                    response = events[-1].response
                calls = [item for item in response.output if item.type == "function_call"]
                assert [(call.name, json.loads(call.arguments)) for call in calls] == [
                    c[1:] for c in SCRIPT[turn].calls
                ]
                assert response.output_text == SCRIPT[turn].text
                items += [json.loads(item.to_json()) for item in response.output]
                items += [{"type": "function_call_output", "call_id": call.call_id, "output": "seen"} for call in calls]
            items.append({"role": "user", "content": "Thanks. Again?"})
            with pytest.raises(Exception, match="IndexError"):
                router.responses("m", items, tools=TOOLS)
            assert response.warnings == ()
    turns = replayed(case, server.last.body)
    assert len(turns) == 3
    text = json.dumps(turns, ensure_ascii=False)
    for turn, said in zip(turns, SCRIPT, strict=True):
        if case != "nova" or said.signature:
            assert json.dumps(said.signature)[1:-1] in json.dumps(turn), "the signature goes back byte for byte"
        check_places(form, turn, said)
    assert text.count(SIGNATURES[0]) == 1, "only the first of parallel calls is signed"


def check_places(form: str, turn: Json, said: Said) -> None:
    """Reasoning before its calls, the signature where it was."""
    if form == "gemini":
        signed = [part for part in turn["parts"] if "thoughtSignature" in part]
        assert len(signed) == 1
        assert ("functionCall" in signed[0]) == bool(said.calls)
        names = [part["functionCall"]["name"] for part in turn["parts"] if "functionCall" in part]
        assert names == [name for _, name, _ in said.calls]
    elif form == "openai-chat":
        assert turn["reasoning_content"] == said.thought
        assert turn["reasoning_details"][0]["signature"] == said.signature
    else:
        first = turn["content"][0]
        whole = first.get("reasoningContent", {}).get("reasoningText") or first
        assert (whole.get("thinking") or whole.get("text"), whole["signature"]) == (said.thought, said.signature)
        kinds = [
            next(iter({"text", "toolUse", "reasoningContent"} & set(block)), block.get("type"))
            for block in turn["content"]
        ]
        assert len(kinds) == 1 + bool(said.text) + len(said.calls)
