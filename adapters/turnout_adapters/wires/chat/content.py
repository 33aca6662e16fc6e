"""Turns to chat messages."""

import re
from base64 import b32encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from turnout_adapters.dialect import Dialect
from turnout_adapters.request import Media, Native, Part, Request, Text, ToolCall, ToolResult, Turn, wrong

Block = dict[str, Any]
_SHORT_ID = re.compile(r"^[a-zA-Z0-9]{9}$")
_SEALED = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking", "tool_plan", "chunks"})
_MEDIA_MOVED = "images and files of tool outputs were moved to a user message: chat completions allow text there"


def messages(request: Request, dialect: Dialect) -> list[Block]:
    """The messages; calls stay in the assistant message they belong to."""
    found = [_system(request, texts, dialect) for texts in request.preamble]
    for turn in request.turns:
        if turn.role == "system":
            found.append(_system(request, [part for part in turn.parts if isinstance(part, Text)], dialect))
        elif turn.role == "assistant":
            found.append(_assistant(request, turn, dialect))
        elif turn.role == "tool":
            found.extend(_results(request, turn, dialect))
        else:
            found.append({"role": "user", "content": _content(request, turn.parts, dialect)})
    if not found:
        raise wrong("input", "is empty: it needs at least one message")
    return found


def _system(request: Request, texts: list[Text], dialect: Dialect) -> Block:
    role = "developer" if dialect.openai else "system"
    if any(part.cache is not None for part in texts):
        return {"role": role, "content": [_part(request, part, dialect) for part in texts]}
    return {"role": role, "content": "\n\n".join(part.text for part in texts)}


def _content(request: Request, parts: list[Part], dialect: Dialect) -> str | list[Block]:
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return parts[0].text
    return [_part(request, part, dialect) for part in parts if isinstance(part, Text | Media)]


def _part(request: Request, part: Text | Media, dialect: Dialect) -> Block:
    block: Block = {"type": "text", "text": part.text} if isinstance(part, Text) else _media(request, part)
    if part.cache is not None:
        if dialect.cache == "cache_control":
            block["cache_control"] = {"type": "ephemeral"}
        elif dialect.cache:
            block[dialect.cache] = {"mode": "explicit", **({"ttl": part.cache} if part.cache else {})}
        else:
            request.draft.unsupported("prompt_cache_breakpoint", "it places its cache itself")
    return block


def _media(request: Request, part: Media) -> Block:
    if part.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.name}}
    if part.kind == "image":
        if part.file_id is not None:
            request.draft.refuse(part.where, "images go there as a URL or as data, not by file_id")
        url = part.url or f"data:{part.mime};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
    if part.file_id is not None:
        return {"type": "file", "file": {"file_id": part.file_id}}
    if part.url is not None:
        request.draft.refuse(part.where, "files go there as data or by file_id, not as a URL")
    file: Block = {"file_data": f"data:{part.mime};base64,{part.data}"}
    return {"type": "file", "file": {**file, **({"filename": part.name} if part.name else {})}}


def _assistant(request: Request, turn: Turn, dialect: Dialect) -> Block:
    message: Block = {"role": "assistant", "content": None}
    texts: list[str] = []
    calls: list[Block] = []
    carried: Mapping[str, Any] = {}
    for part in turn.parts:
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, ToolCall):
            calls.append({**_call(part, dialect), **carried})
            carried = {}
        elif isinstance(part, Native) and part.to_next:
            carried = {name: value for block in part.blocks for name, value in block.items() if name == "extra_content"}
        elif isinstance(part, Native):
            _reasoning(message, part)
        else:
            request.draft.warn("an image of the history was left out: chat completions have none in answers")
    text = "".join(texts)
    chunks = message.pop("chunks", None)
    message["content"] = [*chunks, {"type": "text", "text": text}] if chunks else text or (None if calls else "")
    if calls:
        message["tool_calls"] = calls
    return message


def _reasoning(message: Block, part: Native) -> None:
    """Each block holds fields of the message that it came from; lists and texts add up.

    Envelopes come back from clients: a field that is none of these would be theirs, not the provider's.
    """
    for block in part.blocks:
        for name in _SEALED & set(block):
            value, known = block[name], message.get(name)
            message[name] = known + value if known is not None and type(known) is type(value) else value


def _call(part: ToolCall, dialect: Dialect) -> Block:
    call_id = short_id(part.call_id, dialect)
    if dialect.openai and part.text is not None:
        return {"id": call_id, "type": "custom", "custom": {"name": part.name, "input": part.text}}
    return {"id": call_id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}


def _results(request: Request, turn: Turn, dialect: Dialect) -> list[Block]:
    found: list[Block] = []
    moved: list[Block] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            text = "\n".join(one.text for one in part.parts if isinstance(one, Text))
            media = [_media(request, one) for one in part.parts if isinstance(one, Media)]
            if media:
                request.draft.warn(_MEDIA_MOVED)
                moved += [{"type": "text", "text": f"Output of call {part.call_id}:"}, *media]
                text = text or "The output follows in the next message."
            found.append({"role": "tool", "tool_call_id": short_id(part.call_id, dialect), "content": text})
    return [*found, {"role": "user", "content": moved}] if moved else found


def short_id(call_id: str, dialect: Dialect) -> str:
    """The id as the server takes it: the same for a call and its output."""
    if not dialect.short_call_ids or _SHORT_ID.fullmatch(call_id):
        return call_id
    return b32encode(sha256(call_id.encode()).digest()).decode()[:9]
