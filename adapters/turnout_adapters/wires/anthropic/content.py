"""Turns to Anthropic messages."""

import re
from base64 import b64decode
from typing import Any

from turnout_adapters.request import (
    Draft,
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
    wrong,
)

Block = dict[str, Any]
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def system_blocks(request: Request) -> list[Block]:
    """The system prompt."""
    return [_text(request, part) for part in all_system(request)]


def messages(request: Request) -> list[Block]:
    """Alternating messages. Tool results come first in theirs, as the API demands."""
    found: list[Block] = []
    for turn in request.turns:
        if turn.role == "system":
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = _without_blanks([block for part in turn.parts for block in _blocks(request, part)])
        if not blocks:
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"].extend(blocks)
        else:
            found.append({"role": role, "content": blocks})
    for message in found:
        if message["role"] == "user":
            message["content"].sort(key=_after_results)
    if not found:
        raise wrong("input", "is empty: it needs at least one message with content")
    if found[-1]["role"] == "assistant" and found[-1]["content"][-1]["type"] == "text":
        last = found[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return found


def _without_blanks(blocks: list[Block]) -> list[Block]:
    """Blank texts are refused; a cache breakpoint on one moves to the block before it."""
    kept: list[Block] = []
    for block in blocks:
        if block["type"] != "text" or block["text"].strip():
            kept.append(block)
        elif kept and "cache_control" in block:
            kept[-1] = {**kept[-1], "cache_control": block["cache_control"]}
    return kept


def _after_results(block: Block) -> bool:
    return block["type"] != "tool_result"


def _blocks(request: Request, part: Part) -> list[Block]:
    match part:
        case Text():
            return [_text(request, part)]
        case Media():
            return [_media(request, part)]
        case Native():
            return [dict(block) for block in part.blocks]
        case ToolCall():
            call_id = fitting_id(part.call_id, _ID)
            return [{"type": "tool_use", "id": call_id, "name": part.name, "input": arguments_of(part)}]
        case ToolResult():
            return [_result(request, part)]


def _result(request: Request, part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": fitting_id(part.call_id, _ID)}
    if len(part.parts) == 1 and isinstance(part.parts[0], Text) and part.parts[0].cache is None:
        block["content"] = part.parts[0].text
    else:
        block["content"] = _without_blanks([inner for one in part.parts for inner in _blocks(request, one)])
    if part.failed:
        block["is_error"] = True
    return block


def _text(request: Request, part: Text) -> Block:
    return _marked(request, {"type": "text", "text": part.text}, part.cache)


def _media(request: Request, part: Media) -> Block:
    if part.kind == "audio":
        request.draft.refuse(part.where, "it takes no audio")
    if part.detail is not None:
        request.draft.unsupported(f"{part.where}.detail", "images have no level of detail there")
    block: Block = {"type": "image" if part.kind == "image" else "document", "source": _source(part, request.draft)}
    if part.kind == "file":
        if part.name or part.extra.get("title"):
            block["title"] = part.extra.get("title") or part.name
        block |= {name: part.extra[name] for name in ("citations", "context") if name in part.extra}
    return _marked(request, block, part.cache)


def _source(part: Media, draft: Draft) -> Block:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.kind == "image" or part.mime == "application/pdf":
        return {"type": "base64", "media_type": part.mime, "data": part.data}
    if not part.mime.startswith("text/") and part.mime != "application/json":
        draft.refuse(part.where, f"it reads PDF and text, not {part.mime}")
    try:
        text = b64decode(part.data or "").decode()
    except ValueError:
        raise wrong(f"{part.where}.file_data", "is not base64 of UTF-8 text") from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _marked(request: Request, block: Block, cache: str | None) -> Block:
    if cache is not None:
        block["cache_control"] = cache_control(request, cache)
    return block


def cache_control(request: Request, ttl: str) -> Block:
    """A cache breakpoint that lives at least as long as asked: five minutes unless said otherwise, or an hour."""
    return {"type": "ephemeral", **({"ttl": "1h"} if cached_for_an_hour(request, ttl) else {})}
