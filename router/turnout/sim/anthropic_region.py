"""A fake of Anthropic's Messages API, unary and as a stream, built from its published schema.

It keeps nothing, answers from the history it is sent (`words.py`), and refuses what the API refuses: unknown fields,
roles out of order, tool calls and results without each other, and thinking whose signature is not its own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnout.sim.faults import Fault
from turnout.sim.limit_headers import Limited, anthropic
from turnout.sim.stateless import Block, StatelessRegion, blocks_of, check_alternation, check_known, fields_of, pieces
from turnout.sim.upstream import Answer, Frame, Refused, message_of
from turnout.sim.words import Heard, Reply, reply_to

FIELDS = frozenset(
    """
    cache_control container context_management diagnostics inference_geo max_tokens mcp_servers messages metadata model
    output_config service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k top_p
    user_profile_id workspace_id
    """.split()
)
_BLOCKS = {
    "user": frozenset("text image document search_result tool_result".split()),
    "assistant": frozenset("text thinking redacted_thinking tool_use".split()),
}
_BLOCK_FIELDS = {
    "text": frozenset("type text cache_control citations".split()),
    "thinking": frozenset("type thinking signature".split()),
    "tool_use": frozenset("type id name input cache_control caller toolset_name".split()),
    "tool_result": frozenset("type tool_use_id content is_error cache_control".split()),
}
_ERRORS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip
_BEGINNINGS: dict[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}
"""What a block of a stream starts without."""
_THOUGHT = "They want an answer, so I shall give one."


class AnthropicRegion(StatelessRegion):
    """One organisation at Anthropic."""

    key_header = "x-api-key"
    request_id_header = "request-id"

    def limit_headers(self, told: Limited) -> Mapping[str, str]:
        """Its own `anthropic-ratelimit-*`."""
        return anthropic(told)

    def serves(self, path: str) -> bool:
        """Messages only."""
        return path == "/v1/messages"

    def error(self, status: int, message: str) -> Mapping[str, Any]:
        """Anthropic's form of an error."""
        return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}

    def converse(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Answer:  # noqa: ARG002
        """The next message."""
        if "anthropic-version" not in headers:
            raise Refused("version", "anthropic-version: header is required")
        check_request(body)
        messages = blocks_of(body["messages"])
        self._check_signatures(messages)
        turns = [heard for message in messages for heard in hear(message)]
        choice = str(fields_of(body.get("tool_choice")).get("type", "auto"))
        tools = [str(tool["name"]) for tool in blocks_of(body.get("tools"))] if choice != "none" else []
        reply = reply_to(turns, tools, self._rng, must_call=choice in ("any", "tool"))
        thinks = fields_of(body.get("thinking")).get("type") in ("enabled", "adaptive")
        message = self._message(body, reply, thinks=thinks)
        return Answer(200, message, stream=bool(body.get("stream")))

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The message as server-sent events."""
        for event in stream_events(answer.body):
            delta = event.get("delta", {})
            yield Frame(_encode(event), paced=delta.get("type") == "text_delta")

    def failing(self, answer: Answer, fault: Fault, sent: int) -> Iterator[bytes]:  # noqa: ARG002 (the base's)
        """The error that comes inside a stream when the servers are overloaded."""
        yield _encode(self.error(529, message_of(fault)))

    def _message(self, body: Mapping[str, Any], reply: Reply, *, thinks: bool) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if thinks:
            content.append({"type": "thinking", "thinking": _THOUGHT, "signature": self.account.seal()})
        if reply.tool is None:
            content.append({"type": "text", "text": reply.text, "citations": None})
        else:
            call_id = f"toolu_{self._rng.getrandbits(96):024x}"
            content.append({"type": "tool_use", "id": call_id, "name": reply.tool, "input": {"note": reply.text}})
        usage = {"input_tokens": len(json.dumps(body)) // 4, "output_tokens": len(reply.text.split())}
        return {
            "id": self.account.new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "end_turn" if reply.tool is None else "tool_use",
            "stop_sequence": None,
            "usage": {**usage, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        }

    def _check_signatures(self, messages: Sequence[Block]) -> None:
        for at, message in enumerate(messages):
            for number, block in enumerate(blocks_of(message.get("content"))):
                sealed = block.get("signature") if block.get("type") == "thinking" else block.get("data")
                if "thinking" in str(block.get("type")) and not self.account.opens(sealed):
                    text = f"messages.{at}.content.{number}: Invalid `signature` in `thinking` block"
                    raise Refused("foreign reasoning", text, foreign=True)


def check_request(body: Mapping[str, Any]) -> None:
    """Refuses what the API refuses, whoever asks."""
    check_known(body, FIELDS, "{name}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise Refused("required", f"{name}: Field required")
    messages = blocks_of(body["messages"])
    roles = [str(message.get("role")) for message in messages]
    check_alternation(roles, first="user", message="messages: roles must alternate between user and assistant")
    for at, message in enumerate(messages):
        check_known(message, frozenset(("role", "content")), f"messages.{at}.{{name}}: Extra inputs are not permitted")
        for number, block in enumerate(blocks_of(message.get("content"))):
            _check_block(block, str(message["role"]), f"messages.{at}.content.{number}")
    check_tools(messages)
    check_thinking(body, messages)


def _check_block(block: Block, role: str, where: str) -> None:
    kind = str(block.get("type"))
    if kind not in _BLOCKS[role]:
        raise Refused("role", f"{where}: blocks of type '{kind}' are not permitted in a message of the {role}")
    if kind in _BLOCK_FIELDS:
        check_known(block, _BLOCK_FIELDS[kind], f"{where}.{kind}.{{name}}: Extra inputs are not permitted")
    if kind == "text" and not str(block.get("text", "")).strip():
        raise Refused("empty", f"{where}: text content blocks must contain non-whitespace text")


def check_tools(messages: Sequence[Block]) -> None:
    """Calls are answered in the next message, before anything else in it; results answer a call of the last one."""
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        blocks = blocks_of(message.get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for block in results:
            if block.get("tool_use_id") not in waiting:
                text = f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}"
                raise Refused("orphaned result", text)
        missing = waiting - {str(block["tool_use_id"]) for block in results}
        if missing or any(block.get("type") == "tool_result" for block in blocks[len(results) :]):
            text = f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after"
            raise Refused("call without result", f"{text}: {', '.join(sorted(missing))}")
        waiting = {str(block.get("id")) for block in blocks if block.get("type") == "tool_use"}


def check_thinking(body: Mapping[str, Any], messages: Sequence[Block]) -> None:
    """Thinking with a budget fits into the answer, is not forced to call a tool, and goes on where it was."""
    thinking = fields_of(body.get("thinking"))
    if thinking.get("type") != "enabled":
        return
    if not 1024 <= int(thinking.get("budget_tokens", 0)) < int(body["max_tokens"]):
        raise Refused("budget", "`max_tokens` must be greater than `thinking.budget_tokens`, which is at least 1024")
    if fields_of(body.get("tool_choice")).get("type") in ("any", "tool"):
        raise Refused("forced", "Thinking may not be enabled when tool_choice forces tool use.")
    if any(block.get("type") == "tool_result" for block in blocks_of(messages[-1].get("content"))):
        first = blocks_of(messages[-2].get("content"))[0]
        if "thinking" not in str(first.get("type")):
            text = f"Expected `thinking` or `redacted_thinking`, but found `{first.get('type')}`"
            raise Refused("thinking missing", f"messages.{len(messages) - 2}.content.0.type: {text}")


def hear(message: Block) -> Iterator[Heard]:
    """A message as turns: what each of its blocks says."""
    content = message.get("content")
    own = message.get("role") == "assistant"
    if isinstance(content, str):
        yield Heard("model" if own else "user", content)
    said = ""
    for block in blocks_of(content):
        kind = block.get("type")
        if kind == "text":
            said += str(block["text"])
        elif kind == "tool_use":
            yield Heard("model", str(fields_of(block.get("input")).get("note", "")))
        elif kind == "tool_result":
            inner = block.get("content")
            yield Heard(
                "tool", inner if isinstance(inner, str) else "".join(str(one["text"]) for one in blocks_of(inner))
            )
    if said:
        yield Heard("model" if own else "user", said)


def stream_events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a message."""
    usage = message["usage"]
    begun: dict[str, Any] = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        start = {**block, **_BEGINNINGS[block["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _deltas(block: Block) -> Iterator[dict[str, Any]]:
    if block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        for word in pieces(block["text"]):
            yield {"type": "text_delta", "text": word}
    else:
        for piece in ("", *pieces(json.dumps(block["input"]))):
            yield {"type": "input_json_delta", "partial_json": piece}


def _encode(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
