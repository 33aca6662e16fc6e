"""Turns to Gemini contents."""

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
    arguments_of,
    object_in,
    wrong,
)

Block = dict[str, Any]
_ANY_SIGNATURE = "skip_thought_signature_validator"
"""Google's word for a call that another model made."""


def contents(request: Request, *, ids: bool, media_in_results: bool, signed: bool) -> list[Block]:
    """The contents.

    `ids`: calls carry ids; `media_in_results`: a function response can hold images; `signed`: the model wants the
    first call of the running turn to be signed.
    """
    names = {part.call_id: part.name for turn in request.turns for part in turn.parts if isinstance(part, ToolCall)}
    found: list[Block] = []
    last_question = max((index for index, turn in enumerate(request.turns) if turn.role == "user"), default=-1)
    for index, turn in enumerate(request.turns):
        if turn.role == "system":
            continue
        if turn.role == "assistant":
            parts = _model_parts(request, turn.parts, ids=ids)
            if signed and index > last_question:
                _vouch(request, parts)
        else:
            parts = [
                one
                for part in turn.parts
                for one in _user_parts(request, part, names, ids=ids, media_in_results=media_in_results)
            ]
        if parts:
            found.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
    if not found:
        raise wrong("input", "is empty: it needs at least one message with content")
    return found


def _model_parts(request: Request, parts: list[Part], *, ids: bool) -> list[Block]:
    """A signature belongs to the part that follows its envelope, or has a part of its own."""
    found: list[Block] = []
    carried: Mapping[str, Any] | None = None
    for part in parts:
        if isinstance(part, Native):
            if part.to_next and part.blocks:
                carried = {"thoughtSignature": part.blocks[0].get("thoughtSignature")}
            else:
                found.extend(dict(block) for block in part.blocks)
            continue
        block = _part(request, part, ids=ids)
        if block is not None:
            found.append(block if carried is None else {**block, **carried})
            carried = None
    return found


def _vouch(request: Request, parts: list[Block]) -> None:
    """Only the first of parallel calls is ever signed."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and "thoughtSignature" not in first:
        first["thoughtSignature"] = _ANY_SIGNATURE
        request.draft.note("a tool call of this turn was made by another model; Gemini was told to accept it unsigned")


def _part(request: Request, part: Part, *, ids: bool) -> Block | None:
    if isinstance(part, Text):
        if part.cache is not None:
            request.draft.unsupported("prompt_cache_breakpoint", "it places its cache itself")
        return {"text": part.text} if part.text else None
    if isinstance(part, Media):
        return _media(request, part)
    if isinstance(part, ToolCall):
        call = {"name": part.name, "args": arguments_of(part)}
        return {"functionCall": {"id": part.call_id, **call} if ids else call}
    return None


def _user_parts(
    request: Request, part: Part, names: Mapping[str, str], *, ids: bool, media_in_results: bool
) -> list[Block]:
    if not isinstance(part, ToolResult):
        block = _part(request, part, ids=ids)
        return [] if block is None else [block]
    text = "\n".join(one.text for one in part.parts if isinstance(one, Text))
    media = [_media(request, one) for one in part.parts if isinstance(one, Media)]
    response: Block = {"name": names[part.call_id], "response": _answer(text, failed=part.failed)}
    if ids:
        response = {"id": part.call_id, **response}
    if media and media_in_results:
        return [{"functionResponse": {**response, "parts": media}}]
    return [{"functionResponse": response}, *media]


def _answer(text: str, *, failed: bool) -> Mapping[str, Any]:
    """An object as it is, anything else under the name Google gives it."""
    if failed:
        return {"error": text}
    value = object_in(text)
    return {"output": text} if value is None else value


def _media(request: Request, part: Media) -> Block:
    if part.file_id is not None and not part.file_id.startswith(("https://", "gs://")):
        request.draft.refuse(part.where, "file_id must be the URI of a file in Google's store")
    if part.cache is not None:
        request.draft.unsupported("prompt_cache_breakpoint", "it places its cache itself")
    uri = part.url or part.file_id
    if uri is None:
        return {"inlineData": {"mimeType": part.mime, "data": part.data}}
    mime = part.mime or ("image/jpeg" if part.kind == "image" else "application/pdf")
    return {"fileData": {"fileUri": uri, "mimeType": mime}}
