"""Every recorded request, said in Responses and encoded again: it fits the provider's schema and says the same."""

import json
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase, MessageCreateParamsNonStreaming
from botocore.session import Session
from botocore.validate import ParamValidator
from google.genai import types as google
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from tests.express import Inexpressible, anthropic, chat, converse, gemini
from tests.recorded import Recording, all_recordings, need_data
from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.errors import BadRequestError
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for

Json = dict[str, Any]
ANTHROPIC = ("anthropic_messages", "vertex_anthropic", "bedrock_invoke_anthropic")
GEMINI = ("gemini_generate", "vertex_gemini")
CONVERSE = ("bedrock_converse", "bedrock_converse_stream")
SAMPLING = {"temperature", "top_p", "top_k"}
"""Accepted by models before 4.7, and no longer in the SDK's types."""

_MESSAGES: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
_CHAT: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_BEDROCK = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
RECORDED = [one for one in all_recordings() if one.request]


def provider_of(recording: Recording) -> str:
    return {
        "anthropic_messages": "anthropic", "vertex_anthropic": "vertex_ai", "bedrock_invoke_anthropic": "bedrock",
        "gemini_generate": "gemini", "vertex_gemini": "vertex_ai", "gemini_openai_compat": "gemini",
        "azure_openai_chat": "azure", "ollama_openai_compat": "ollama", "llamacpp_server_chat": "llamacpp",
        "vercel_gateway_chat": "vercel_ai_gateway", "bedrock_mantle_chat": "bedrock_mantle",
    }.get(recording.api) or recording.api.removesuffix("_chat")  # fmt: skip


def refused_by_both(recording: Recording, error: BadRequestError) -> None:
    """What we refuse before the call was refused by the provider too."""
    assert recording.status == 400, error


def encoded(provider: str, wire: str, model: str, arguments: Json) -> Json:
    """The body that goes out."""
    row = PROVIDERS.get(provider) or PROVIDERS["hosted_vllm"]
    extra = arguments.pop("extra_body", {})
    call = WireCall("create", model, arguments, extra_body=extra, nonce="0")
    request = adapter_for(row, wire).request(call, Target(provider, "https://x"))
    return json.loads(request.body)


def of(apis: tuple[str, ...]) -> Any:
    found = [one for one in RECORDED if one.api in apis]
    return pytest.mark.parametrize("recording", found, ids=[one.id for one in found])


def check_anthropic(body: Json) -> None:
    _MESSAGES.validate_python({"model": "m", **body})
    unknown = set(body) - set(MessageCreateParamsNonStreaming.__annotations__) - SAMPLING
    assert not unknown - set(MessageCreateParamsBase.__annotations__) - {"anthropic_version"}


def check_gemini(body: Json) -> None:
    for content in body["contents"]:
        google.Content.model_validate(content)
    for name, model in (
        ("systemInstruction", google.Content),
        ("toolConfig", google.ToolConfig),
        ("generationConfig", google.GenerationConfig),
    ):
        if name in body:
            model.model_validate(body[name])
    for tool in body.get("tools", ()):
        google.Tool.model_validate(tool)
    known = {"contents", "systemInstruction", "toolConfig", "generationConfig", "tools", "safetySettings"}
    assert set(body) <= known | {"cachedContent", "serviceTier", "labels"}


def check_converse(body: Json, model: str) -> None:
    report = ParamValidator().validate({**body, "modelId": model}, _BEDROCK)
    assert not report.has_errors(), report.generate_report()


@of(ANTHROPIC)
def test_messages(recording: Recording) -> None:
    try:
        arguments = anthropic.express(recording.request)
    except Inexpressible as why:
        pytest.skip(f"Responses has no word for {why}")
    try:
        body = encoded(provider_of(recording), "anthropic-messages", recording.model, arguments)
    except BadRequestError as error:
        refused_by_both(recording, error)
        return
    check_anthropic(body)
    body.pop("model", None)
    said = {name: value for name, value in recording.request.items() if name not in ("model", "anthropic_version")}
    body.pop("anthropic_version", None)
    assert anthropic.meaning(body) == anthropic.meaning(said)


@of(GEMINI)
def test_gemini(recording: Recording) -> None:
    try:
        arguments = gemini.express(recording.request)
    except Inexpressible as why:
        pytest.skip(f"Responses has no word for {why}")
    provider = provider_of(recording)
    body = encoded(provider, "gemini", recording.model, arguments)
    check_gemini(body)
    ids = provider == "gemini" and '"id"' in json.dumps(recording.request["contents"])
    assert gemini.meaning(body, ids=ids) == gemini.meaning(recording.request, ids=ids)


@of(CONVERSE)
def test_converse(recording: Recording) -> None:
    try:
        arguments = converse.express(recording.request, recording.model)
    except Inexpressible as why:
        pytest.skip(f"Responses has no word for {why}")
    body = encoded("bedrock", "bedrock-converse", recording.model, arguments)
    check_converse(body, recording.model)
    assert converse.meaning(body) == converse.meaning(recording.request)


CHATS = tuple({one.api for one in RECORDED if one.api.endswith("_chat") or "compat" in one.api} - {"cohere_v2_chat"})


@of(CHATS)
def test_chat(recording: Recording) -> None:
    provider = provider_of(recording)
    name = provider if provider in PROVIDERS else "hosted_vllm"
    row = PROVIDERS[name]
    try:
        arguments = chat.express(recording.request, name, openai=row.dialect.openai)
    except Inexpressible as why:
        pytest.skip(f"Responses has no word for {why}")
    try:
        body = encoded(name, "openai-chat", recording.model, arguments)
    except BadRequestError as error:
        refused_by_both(recording, error)
        return
    if row.dialect.openai:
        _CHAT.validate_python(body)
    body.pop("model")
    said = {name: value for name, value in recording.request.items() if name != "model"}
    assert chat.meaning(body) == chat.meaning(said)


def test_there_are_requests_to_say_again() -> None:
    need_data()
    assert len(RECORDED) > 200
