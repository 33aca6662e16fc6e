"""The providers' published schemas as judges of bodies."""

from itertools import pairwise
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsBase, MessageCreateParamsNonStreaming
from botocore.session import Session
from botocore.validate import ParamValidator
from google.genai import types as google
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

Json = dict[str, Any]
_SAMPLING = {"temperature", "top_p", "top_k"}
"""Accepted by models before 4.7, and no longer in the SDK's types."""
_MESSAGES: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
_CHAT: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_RESPONSES: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
_CONVERSE = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
_GEMINI = {
    "systemInstruction": google.Content,
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
}


def check_anthropic(body: Json) -> None:
    betas = [tool for tool in body.get("tools", ()) if tool.get("type") == "mcp_toolset"]
    plain = {**body, "tools": [tool for tool in body.get("tools", ()) if tool not in betas]}
    plain.pop("mcp_servers", None)
    _MESSAGES.validate_python({"model": "m", **plain})
    unknown = set(plain) - set(MessageCreateParamsBase.__annotations__) - _SAMPLING - {"stream", "anthropic_version"}
    assert not unknown, unknown
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles)), "messages alternate"
    thinking = body.get("thinking", {})
    assert thinking.get("budget_tokens", 0) < body["max_tokens"]


def check_gemini(body: Json) -> None:
    for content in body["contents"]:
        google.Content.model_validate(content)
    for name, model in _GEMINI.items():
        if name in body:
            model.model_validate(body[name])
    for tool in body.get("tools", ()):
        google.Tool.model_validate(tool)
    known = {*_GEMINI, "contents", "tools", "safetySettings", "cachedContent", "serviceTier", "labels"}
    assert set(body) <= known


def check_converse(body: Json) -> None:
    report = ParamValidator().validate({**body, "modelId": "us.amazon.nova-2-lite-v1:0"}, _CONVERSE)
    assert not report.has_errors(), report.generate_report()
    roles = [message["role"] for message in body["messages"]]
    assert roles[0] == "user"
    assert all(one != other for one, other in pairwise(roles)), "messages alternate"


def check_chat(body: Json) -> None:
    _CHAT.validate_python(body)


def check_responses(body: Json) -> None:
    _RESPONSES.validate_python(body)
