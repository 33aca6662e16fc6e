"""Any request: it becomes a body that the provider's schema allows, or a typed error that names the parameter."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wires.schemas import check_anthropic, check_chat, check_converse, check_gemini
from tests.wires.tools import request_for
from turnout_adapters.envelope import seal
from turnout_adapters.errors import BadRequestError

Json = dict[str, Any]
PNG = "data:image/png;base64,iVBORw0KGgo="
WORDS = st.sampled_from(["hello", "", " ", "Zürich ✓", "a\nb", "x" * 300, '{"a": 1}', "\u0000"])
MARK = st.sampled_from(
    [
        {},
        {},
        {"prompt_cache_breakpoint": {"mode": "explicit"}},
        {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    ]
)
SCHEMA = st.sampled_from([
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"], "additionalProperties": False},
    {"type": "object", "properties": {"l": {"type": "array", "items": {"$ref": "#/$defs/x"}}}, "$defs": {"x": {"type": "string", "maxLength": 3}}},
    {"type": "object", "properties": {"u": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
])  # fmt: skip


def with_mark(part: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.builds(lambda one, mark: {**one, **mark}, part, MARK)


TEXT = with_mark(st.builds(lambda text: {"type": "input_text", "text": text}, WORDS))
MEDIA = st.sampled_from([
    {"type": "input_image", "image_url": PNG, "detail": "auto"},
    {"type": "input_image", "image_url": PNG, "detail": "low"},
    {"type": "input_image", "image_url": "https://example.com/a.jpg", "detail": "auto"},
    {"type": "input_image", "file_id": "file-1", "detail": "auto"},
    {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a b_c.pdf"},
    {"type": "input_file", "file_data": "data:text/plain;base64,aGVsbG8=", "filename": "a.txt"},
    {"type": "input_file", "file_data": "data:application/zip;base64,UEs=", "filename": "a.zip"},
    {"type": "input_file", "file_url": "https://example.com/a.pdf"},
    {"type": "input_file", "file_id": "file-1"},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "input_image", "detail": "auto"},
    {"type": "hologram", "depth": 3},
])  # fmt: skip
PART = st.one_of(TEXT, TEXT, TEXT, MEDIA)
NAMES = st.sampled_from(["look", "find", "ns__do"])
CALL_IDS = st.sampled_from(["call_1", "call_2", "functions.look:0", "x" * 90, "toolu_01"])
MESSAGE = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant", "developer", "system"]), WORDS),
    st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(PART, min_size=1, max_size=4)),
    st.builds(lambda text: {"type": "message", "id": "msg_tn_1", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": text, "annotations": []}]}, WORDS),
)  # fmt: skip
REASONING = st.sampled_from([
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "gAAAA"},
    {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": seal("anthropic", [{"type": "thinking", "thinking": "t", "signature": "s"}])},
    {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": seal("gemini", [{"thoughtSignature": "c2ln"}], to_next=True)},
    {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": seal("bedrock", [{"reasoningContent": {"reasoningText": {"text": "t"}}}])},
    {"type": "reasoning", "id": "rs_tn_1", "summary": [], "encrypted_content": "turnout1.damaged"},
])  # fmt: skip
OTHER = st.sampled_from([
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"},
    {"type": "local_shell_call", "id": "l", "call_id": "c", "action": {}, "status": "completed"},
    {"type": "function_call_output", "call_id": "call_of_nobody", "output": "x"},
])  # fmt: skip


@st.composite
def exchange(draw: st.DrawFn) -> list[Json]:
    """A call and its output."""
    call_id, name = draw(CALL_IDS), draw(NAMES)
    output = draw(st.one_of(WORDS, st.lists(PART, min_size=1, max_size=3)))
    status = draw(st.sampled_from([{}, {"status": "incomplete"}, {"status": "completed"}]))
    if draw(st.booleans()):
        call = {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": draw(WORDS)}
        return [call, {"type": "custom_tool_call_output", "call_id": call_id, "output": output}]
    arguments = draw(st.sampled_from(["{}", '{"n": 1}', "", "not json", "[1]"]))
    call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return [call, {"type": "function_call_output", "call_id": call_id, "output": output, **status}]


GROUP = st.one_of(
    MESSAGE.map(lambda one: [one]), MESSAGE.map(lambda one: [one]), exchange(), exchange(),
    st.builds(lambda one, more: [one, *more], REASONING, exchange()), REASONING.map(lambda one: [one]), OTHER.map(lambda one: [one]),
)  # fmt: skip
INPUT = st.one_of(
    WORDS, st.lists(GROUP, min_size=1, max_size=6).map(lambda groups: [item for group in groups for item in group])
)
TOOL = st.one_of(
    st.builds(
        lambda name, schema, strict, text, mark: {"type": "function", "name": name, "parameters": schema, "strict": strict, "description": text, **mark},
        NAMES, SCHEMA, st.sampled_from([None, True, False]), WORDS, MARK,
    ),
    st.sampled_from([
        {"type": "custom", "name": "paint", "description": "Paints."},
        {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
        {"type": "namespace", "name": "ns", "description": "", "tools": [{"type": "function", "name": "do", "parameters": {"type": "object"}}]},
        {"type": "web_search"},
        {"type": "web_search", "filters": {"allowed_domains": ["example.com"]}, "user_location": {"type": "approximate", "city": "Bern"}},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example.com", "require_approval": "never", "allowed_tools": ["a"]},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "local_shell"},
        {"type": "function", "name": "late", "parameters": {"type": "object"}, "defer_loading": True},
    ]),
)  # fmt: skip
CHOICE = st.sampled_from([
    "auto", "none", "required", {"type": "function", "name": "look"}, {"type": "custom", "name": "paint"},
    {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}, {"type": "web_search"}, "sometimes",
])  # fmt: skip
FORMAT = st.one_of(
    st.just({"type": "text"}), st.just({"type": "json_object"}),
    st.builds(lambda schema: {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}, SCHEMA),
)  # fmt: skip
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "instructions": WORDS,
    "tools": st.lists(TOOL, max_size=3, unique_by=lambda tool: json.dumps(tool.get("name", tool["type"]))),
    "tool_choice": CHOICE,
    "parallel_tool_calls": st.booleans(),
    "text": st.builds(lambda form, more: {"format": form, **more}, FORMAT, st.sampled_from([{}, {}, {"verbosity": "low"}])),
    "reasoning": st.fixed_dictionaries({}, optional={
        "effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "summary": st.sampled_from(["auto", "concise", "detailed"]),
    }),
    "max_output_tokens": st.integers(min_value=1, max_value=200_000),
    "temperature": st.floats(min_value=0, max_value=2),
    "top_p": st.floats(min_value=0, max_value=1),
    "truncation": st.sampled_from(["auto", "disabled"]),
    "store": st.booleans(),
    "metadata": st.just({"a": "b"}),
    "include": st.lists(st.sampled_from(["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"]), max_size=2),
    "top_logprobs": st.integers(min_value=0, max_value=20),
    "max_tool_calls": st.integers(min_value=1, max_value=5),
    "service_tier": st.sampled_from(["auto", "default", "flex", "priority", "scale"]),
    "safety_identifier": st.just("user-1"),
    "prompt_cache_key": st.just("k"),
    "prompt_cache_options": st.sampled_from([{"mode": "implicit", "ttl": "30m"}, {"mode": "explicit"}, {"ttl": "12h"}]),
    "previous_response_id": st.just("resp_1"),
    "background": st.booleans(),
    "presence_penalty": st.floats(min_value=-2, max_value=2),
}  # fmt: skip
MOSTLY = {name: PARAMS[name] for name in ("instructions", "tools", "reasoning", "max_output_tokens", "text")}
BODY = st.one_of(st.fixed_dictionaries({}, optional=MOSTLY), st.fixed_dictionaries({}, optional=PARAMS))
MODELS: dict[str, Any] = {
    "anthropic/claude-sonnet-4-6": check_anthropic,
    "anthropic/claude-sonnet-4-5": check_anthropic,
    "anthropic/claude-3-5-haiku-20241022": check_anthropic,
    "vertex_ai/claude-opus-4-1@20250805": check_anthropic,
    "gemini/gemini-3-pro": check_gemini,
    "gemini/gemini-2.5-flash": check_gemini,
    "vertex_ai/gemini-3-pro": check_gemini,
    "bedrock/us.amazon.nova-2-lite-v1:0": check_converse,
    "bedrock/converse/eu.anthropic.claude-sonnet-4-5-20250929-v1:0": check_converse,
    "bedrock/meta.llama3-70b-instruct-v1:0": check_converse,
    "openai/gpt-5": check_chat,
}


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(input=INPUT, body=BODY, drop=st.booleans())
def test_any_request(model: str, input: Any, body: Json, drop: bool) -> None:
    try:
        request = request_for(
            model, input, wire="openai-chat" if model.startswith("openai") else None, drop=drop, **body
        )
    except BadRequestError as error:
        assert error.param, f"the error must name the parameter: {error}"
        return
    sent = json.loads(request.body)
    sent.pop("anthropic_version", None)
    MODELS[model](sent)
    if not drop:
        assert not any(re.search(r"^\S+ was left out: ", warning) for warning in request.warnings)


OTHERS = ("cohere/command-a", "ollama/llama", "watsonx/ibm/granite", "mistral/large", "deepseek/chat", "perplexity/sonar",
          "replicate/meta/llama", "nlp_cloud/chatdolphin", "sagemaker/endpoint", "groq/x", "cloudflare/x")  # fmt: skip


@pytest.mark.parametrize("model", OTHERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(input=INPUT, body=BODY, drop=st.booleans())
def test_any_request_elsewhere(model: str, input: Any, body: Json, drop: bool) -> None:
    """Providers without a published schema: a body, or a typed error; nothing else."""
    wire = {"ollama/llama": "ollama-chat", "deepseek/chat": "openai-chat"}.get(model)
    try:
        request = request_for(model, input, wire=wire, drop=drop, **body)
    except BadRequestError as error:
        assert error.param
        return
    assert isinstance(json.loads(request.body), dict)


GARBAGE = st.sampled_from([None, True, 3, -1.5, "", "x", [], ["x"], [None], {}, {"type": "x"}, {"x": [1]}])


def broken(draw: st.DrawFn, value: Any) -> Any:
    """The value with one place in it replaced by something that does not belong there."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: broken(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], broken(draw, value[index]), *value[index + 1 :]]
    return draw(GARBAGE)


@st.composite
def broken_body(draw: st.DrawFn) -> Json:
    body = {"input": draw(INPUT), **draw(BODY)}
    return broken(draw, body) if draw(st.booleans()) else broken(draw, broken(draw, body))


@pytest.mark.parametrize("model", [*MODELS, *OTHERS])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(body=broken_body(), drop=st.booleans())
def test_any_mistake_is_a_typed_error(model: str, body: Any, drop: bool) -> None:
    """Whatever is wrong in a request: it is sent as it is, or told by name; it never breaks the library."""
    if not isinstance(body, dict):
        return
    given = dict(body)
    try:
        request = request_for(
            model, given.pop("input", None), wire="openai-chat" if model == "openai/gpt-5" else None, drop=drop, **given
        )
    except BadRequestError as error:
        assert error.param
        return
    assert isinstance(json.loads(request.body), dict)
