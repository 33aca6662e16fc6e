"""What is answered on each wire that we speak, complete and streamed, and what reaches its provider's row."""

import json
from random import Random
from typing import Any

from tests.wire_answers import Said, answer, chat, chat_chunks, event_frame, sse
from turnout.sim.replies import encode_event, response_object, stream_events
from turnout.testing import Exchange

Json = dict[str, Any]
TEXT = "At the lake ✓"
SAID = Said(text=TEXT)
HALVES = (TEXT[:5], TEXT[5:])
USAGE = {"tokens": {"input_tokens": 11, "output_tokens": 7}}
CLAUDE, NOVA = "claude-sonnet-4-6", "us.amazon.nova-2-lite-v1:0"


def dumped(body: Json) -> bytes:
    return json.dumps(body).encode()


def of_responses() -> Exchange:
    response = response_object({"model": "gpt-4o", "input": "x"}, "eastus", 1, 5, Random(1))
    text = response["output"][0]["content"][0]["text"]
    return Exchange(dumped(response), b"".join(map(encode_event, stream_events(response))), text, model="gpt-4o")


def of(wire: str, **more: Any) -> Exchange:
    return Exchange(answer(wire, SAID, stream=False), answer(wire, SAID, stream=True), TEXT, **more)


def of_cohere() -> Exchange:
    whole = {"finish_reason": "COMPLETE", "message": {"content": [{"type": "text", "text": TEXT}]}, "usage": USAGE}
    pieces = [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": half}}}} for half in HALVES
    ]
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}
    return Exchange(dumped(whole), sse([{"type": "message-start"}, *pieces, end], named=True), TEXT)


def of_ollama() -> Exchange:
    counts = {"done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 7}
    whole = {"model": "m", "message": {"role": "assistant", "content": TEXT}, **counts}
    lines = [{"model": "m", "message": {"role": "assistant", "content": half}, "done": False} for half in HALVES]
    last = {"model": "m", "message": {"role": "assistant", "content": ""}, **counts}
    stream = b"".join(dumped(line) + b"\n" for line in [*lines, last])
    return Exchange(dumped(whole), stream, TEXT, unknown_event=b'{"x_turnout_new": 1}\n')


def of_watsonx_text() -> Exchange:
    def result(text: str, made: int, reason: str) -> Json:
        one = {"generated_text": text, "generated_token_count": made, "input_token_count": 11, "stop_reason": reason}
        return {"model_id": "m", "results": [one]}

    stream = sse([result(HALVES[0], 4, "not_finished"), result(HALVES[1], 7, "eos_token")])
    return Exchange(dumped(result(TEXT, 7, "eos_token")), stream, TEXT)


def of_sagemaker() -> Exchange:
    from tests.wires.test_providers import payload_part

    raw = sse(chat_chunks(SAID), done=True)
    frames = [payload_part(raw[start : start + 50]) for start in range(0, len(raw), 50)]
    return Exchange(dumped(chat(SAID)), b"".join(frames), TEXT, unknown_event=event_frame("xTurnoutNew", {"a": 1}))


def of_replicate() -> Exchange:
    events = [f"event: output\ndata: {half}\n\n" for half in HALVES]
    stream = "".join([*events, "event: done\ndata: {}\n\n"]).encode()
    return Exchange(
        dumped({"id": "p", "status": "succeeded", "output": list(HALVES)}), stream, TEXT, model="owner/name"
    )


def of_nlp_cloud() -> Exchange:
    whole = dumped({"response": TEXT, "history": []})
    return Exchange(whole, whole, TEXT, unknown_event=None)


AWS = {"aws_access_key_id": "AKID", "aws_secret_access_key": "s", "aws_region_name": "eu-west-1"}
GOOGLE = {"vertex_project": "p", "vertex_location": "eu"}
REACHED: dict[str, Json] = {
    "azure": {"api_base": "https://x.openai.azure.com"},
    "azure_ai": {"api_base": "https://x.services.ai.azure.com"},
    "bedrock": {"aws_region_name": "eu-west-1"},
    "bedrock_mantle": {"aws_region_name": "eu-west-1"},
    "sagemaker": {**AWS, "api_key": None},
    "snowflake": {"api_base": "https://x.example/api/v2"},
    "databricks": {"api_base": "https://x.example/serving-endpoints"},
    "vertex_ai": GOOGLE,
    "watsonx": {"project_id": "p", "watsonx_region_name": "eu-de"},
    "cloudflare": {"CLOUDFLARE_ACCOUNT_ID": "a"},
}
"""litellm_params that a row needs besides its key."""


def exchange_on(provider: str, wire: str) -> Exchange:
    """What a provider answers on one of its wires."""
    if wire == "anthropic-messages" and provider == "bedrock":
        return of("invoke", model=CLAUDE, unknown_event=event_frame("xTurnoutNew", {"a": 1}))
    if wire == "anthropic-messages":
        return of(wire, model=CLAUDE, request_id_header="request-id")
    if wire == "bedrock-converse":
        frame = event_frame("xTurnoutNew", {"a": 1})
        return of(wire, model=NOVA, unknown_event=frame, request_id_header="x-amzn-requestid")
    if wire == "gemini":
        return of(wire, model="gemini-3-pro")
    if wire in ("openai-chat", "watsonx-chat"):
        return of(wire)
    return _OTHERS[wire]()


_OTHERS = {
    "openai-responses": of_responses,
    "cohere-chat": of_cohere,
    "ollama-chat": of_ollama,
    "watsonx-text": of_watsonx_text,
    "sagemaker": of_sagemaker,
    "replicate": of_replicate,
    "nlp-cloud": of_nlp_cloud,
}
