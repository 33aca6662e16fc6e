"""Every recorded request, said in Responses and encoded again: it fits the provider's schema and says the same."""

import json
from typing import Any

import pytest

from tests.express import Inexpressible, anthropic, chat, converse, gemini, like_chat
from tests.recorded import Recording, all_recordings, need_data
from tests.wires.schemas import check_anthropic, check_chat, check_converse, check_gemini
from turnout_adapters.adapter import Target, WireCall
from turnout_adapters.errors import BadRequestError
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for

Json = dict[str, Any]
ANTHROPIC = ("anthropic_messages", "vertex_anthropic", "bedrock_invoke_anthropic")
GEMINI = ("gemini_generate", "vertex_gemini")
CONVERSE = ("bedrock_converse", "bedrock_converse_stream")
RECORDED = [one for one in all_recordings() if one.request]


def provider_of(recording: Recording) -> str:
    return {
        "anthropic_messages": "anthropic", "vertex_anthropic": "vertex_ai", "bedrock_invoke_anthropic": "bedrock",
        "gemini_generate": "gemini", "vertex_gemini": "vertex_ai", "gemini_openai_compat": "gemini",
        "azure_openai_chat": "azure", "ollama_openai_compat": "ollama", "llamacpp_server_chat": "llamacpp",
        "vercel_gateway_chat": "vercel_ai_gateway", "bedrock_mantle_chat": "bedrock_mantle",
    }.get(recording.api) or recording.api.removesuffix("_chat")  # fmt: skip


INEXPRESSIBLE = {
    "search_result": "a tool's search results, to be cited",
    "a file of this type at a URL that does not say so": "sound at a URL",
    "['guardContent']": "text for Bedrock's guardrails alone",
    "a document in pieces": "a document as a list of texts",
    "['searchResult']": "a tool's search results, to be cited",
    "named speakers": "messages with a name",
    "document_url": "Mistral's documents at a URL",
}
"""What Responses has no word for; at most so many recordings have it."""


def worded(express: Any, recording: Recording, *more: Any, **other: Any) -> Json | None:
    """The request in Responses; None if there is no word for something in it, which must be known."""
    try:
        return express(recording.request, *more, **other)
    except Inexpressible as why:
        assert str(why) in INEXPRESSIBLE or "images in the outputs of tools" in str(why)
        return None


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


@of(ANTHROPIC)
def test_messages(recording: Recording) -> None:
    arguments = worded(anthropic.express, recording)
    if arguments is None:
        return
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
    arguments = worded(gemini.express, recording)
    if arguments is None:
        return
    provider = provider_of(recording)
    body = encoded(provider, "gemini", recording.model, arguments)
    check_gemini(body)
    ids = provider == "gemini" and '"id"' in json.dumps(recording.request["contents"])
    assert gemini.meaning(body, ids=ids) == gemini.meaning(recording.request, ids=ids)


@of(CONVERSE)
def test_converse(recording: Recording) -> None:
    arguments = worded(converse.express, recording, recording.model)
    if arguments is None:
        return
    body = encoded("bedrock", "bedrock-converse", recording.model, arguments)
    check_converse(body)
    assert converse.meaning(body) == converse.meaning(recording.request)


CHATS = tuple({one.api for one in RECORDED if one.api.endswith("_chat") or "compat" in one.api} - {"cohere_v2_chat"})


@of(CHATS)
def test_chat(recording: Recording) -> None:
    provider = provider_of(recording)
    name = provider if provider in PROVIDERS else "hosted_vllm"
    row = PROVIDERS[name]
    arguments = worded(chat.express, recording, name, openai=row.dialect.openai)
    if arguments is None:
        return
    try:
        body = encoded(name, "openai-chat", recording.model, arguments)
    except BadRequestError as error:
        refused_by_both(recording, error)
        return
    if row.dialect.openai:
        check_chat(body)
    body.pop("model")
    said = {name: value for name, value in recording.request.items() if name != "model"}
    assert chat.meaning(body) == chat.meaning(said)


def test_there_are_requests_to_say_again() -> None:
    need_data()
    assert len(RECORDED) > 200


def test_few_requests_have_no_responses_form() -> None:
    need_data()
    express = {**dict.fromkeys(ANTHROPIC, anthropic.express), **dict.fromkeys(GEMINI, gemini.express)}
    missing = [one.id for one in RECORDED if one.api in express and worded(express[one.api], one) is None]
    missing += [one.id for one in RECORDED if one.api in CONVERSE and worded(converse.express, one, one.model) is None]
    missing += [one.id for one in RECORDED if one.api in CHATS and worded(chat.express, one, "p", openai=False) is None]
    assert len(missing) <= 10, missing


LIKE_CHAT = {
    "cohere_v2_chat": ("cohere", "cohere-chat", like_chat.of_cohere),
    "ollama_native": ("ollama", "ollama-chat", like_chat.of_ollama),
}


@of(tuple(LIKE_CHAT))
def test_cohere_and_ollama(recording: Recording) -> None:
    provider, wire, as_chat = LIKE_CHAT[recording.api]
    plain = as_chat(recording.request)
    try:
        arguments = chat.express(plain, provider, openai=False)
    except Inexpressible as why:
        assert str(why) == "document" or "images in the outputs of tools" in str(why)
        return
    extra = arguments["extra_body"]
    if wire == "ollama-chat" and recording.request.get("options"):
        rest = {name: value for name, value in recording.request["options"].items() if name != "temperature"}
        arguments["extra_body"] = {name: value for name, value in extra.items() if name != "options"} | {
            "options": rest
        }
    body = encoded(provider, wire, recording.model, arguments)
    ours, theirs = as_chat(body), plain
    ours.pop("model")
    assert chat.meaning(ours) == chat.meaning({name: value for name, value in theirs.items() if name != "model"})


@of(("watsonx_legacy",))
def test_watsonx(recording: Recording) -> None:
    row, extra = PROVIDERS["watsonx"], {"project_id": recording.request["project_id"]}
    call = WireCall("create", recording.model, {"input": recording.request["input"]}, extra_body=extra, nonce="0")
    request = adapter_for(row, "watsonx-text").request(call, Target("watsonx", "https://x"))
    assert json.loads(request.body) == recording.request
