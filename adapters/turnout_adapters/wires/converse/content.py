"""Turns to Converse messages."""

import re
from collections.abc import Mapping
from typing import Any

from turnout_adapters.request import (
    Media,
    Native,
    Part,
    Request,
    Text,
    ToolCall,
    ToolResult,
    all_system,
    arguments_of,
    cached_for_an_hour,
    fitting_id,
    object_in,
)

Block = dict[str, Any]
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_IMAGES = ("png", "jpeg", "gif", "webp")
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx", "text/html": "html",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx", "text/plain": "txt",
    "text/markdown": "md",
}  # fmt: skip


def system_blocks(request: Request) -> list[Block]:
    """The system prompt."""
    return [block for part in all_system(request) for block in _marked(request, {"text": part.text}, part.cache)]


def messages(request: Request, family: str) -> list[Block]:
    """Alternating messages, the user's first."""
    found: list[Block] = []
    for turn in request.turns:
        if turn.role == "system":
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = [block for part in turn.parts for block in _blocks(request, part, family)]
        if blocks and found and found[-1]["role"] == role:
            found[-1]["content"].extend(blocks)
        elif blocks:
            found.append({"role": role, "content": blocks})
    if not found or found[0]["role"] != "user":
        request.draft.refuse("input", "it must begin with a message of the user")
    for message in found:
        kinds = {name for block in message["content"] for name in block}
        if "document" in kinds and not kinds & {"text", "toolResult"}:
            request.draft.refuse("input", "it takes a file only with text beside it, in the same message")
    return found


def _blocks(request: Request, part: Part, family: str) -> list[Block]:
    match part:
        case Text():
            blocks = _marked(request, {"text": part.text}, part.cache)
            return blocks if part.text.strip() else blocks[1:]
        case Media():
            return _marked(request, _media(request, part), part.cache)
        case Native():
            return [block for native in part.blocks for block in _native(request, native, family)]
        case ToolCall():
            use = {"toolUseId": fitting_id(part.call_id, _ID), "name": part.name, "input": arguments_of(part)}
            return [{"toolUse": use}]
        case ToolResult():
            return [{"toolResult": _result(request, part)}]


def _native(request: Request, block: Mapping[str, Any], family: str) -> list[Block]:
    """Claude's signed reasoning is one thing on all platforms; only its form differs."""
    if family != "anthropic":
        return [dict(block)]
    if block.get("type") == "thinking":
        text = {"text": block.get("thinking", ""), "signature": block.get("signature")}
        return [{"reasoningContent": {"reasoningText": text}}]
    if block.get("type") == "redacted_thinking":
        return [{"reasoningContent": {"redactedContent": block.get("data")}}]
    request.draft.note(f"a {block.get('type')} block that Bedrock cannot read was left out of the input")
    return []


def _result(request: Request, part: ToolResult) -> Block:
    for one in part.parts:
        if isinstance(one, Media) and one.kind == "audio":
            request.draft.refuse(one.where, "the outputs of tools hold no sound there")
    content = [{"text": one.text} if isinstance(one, Text) else _media(request, one) for one in part.parts]
    if len(content) == 1 and isinstance(part.parts[0], Text):
        value = object_in(part.parts[0].text)
        content = content if value is None else [{"json": value}]
    result: Block = {"toolUseId": fitting_id(part.call_id, _ID), "content": content}
    return {**result, "status": "error"} if part.failed else result


def _media(request: Request, part: Media) -> Block:
    if part.url is not None and not part.url.startswith("s3://"):
        request.draft.refuse(part.where, "it fetches no URLs; send the data itself (data: URL, file_data)")
    if part.file_id is not None:
        request.draft.refuse(part.where, "it has no file store; send the data itself")
    if part.detail is not None:
        request.draft.unsupported(f"{part.where}.detail", "images have no level of detail there")
    source: Block = {"s3Location": {"uri": part.url}} if part.url else {"bytes": part.data}
    form = part.mime.rpartition("/")[2]
    if part.kind == "image":
        if form not in _IMAGES:
            request.draft.refuse(part.where, f"it reads png, jpeg, gif and webp, not {part.mime or 'this'}")
        return {"image": {"format": form, "source": source}}
    if part.kind == "audio":
        return {"audio": {"format": part.name, "source": source}}
    if part.mime not in _DOCUMENTS:
        request.draft.refuse(part.where, f"it reads pdf, csv, doc, xls, html, txt and md, not {part.mime}")
    name = _NOT_IN_NAMES.sub("-", (part.name or "document").rpartition(".")[0] or part.name or "document")[:200]
    extra = {key: part.extra[key] for key in ("context", "citations") if key in part.extra}
    return {"document": {"format": _DOCUMENTS[part.mime], "name": name, "source": source, **extra}}


def _marked(request: Request, block: Block, cache: str | None) -> list[Block]:
    return [block] if cache is None else [block, cache_point(request, cache)]


def cache_point(request: Request, ttl: str) -> Block:
    """A cache breakpoint that lives at least as long as asked: five minutes unless said otherwise, or an hour."""
    return {"cachePoint": {"type": "default", **({"ttl": "1h"} if cached_for_an_hour(request, ttl) else {})}}
