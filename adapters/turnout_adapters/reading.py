"""Reads the input items of a Responses request into turns (see `request.py`)."""

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic_core import to_json

from turnout_adapters.adapter import WireCall
from turnout_adapters.envelope import is_made_here, open_envelope
from turnout_adapters.params import check_types
from turnout_adapters.request import (
    Draft,
    Media,
    Native,
    Part,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    cache_mark,
    mapping,
    mappings,
    text_of,
    wrong,
)
from turnout_adapters.tools import flat_name, read_choice, read_format, read_tools

_HOSTED = frozenset(
    """
    web_search_call file_search_call code_interpreter_call image_generation_call computer_call computer_call_output
    mcp_list_tools mcp_call mcp_approval_request mcp_approval_response
    """.split()
)
_DATA_URL = re.compile(r"^data:(?P<mime>[^;,]*)(?:;[^;,]+)*?;base64,(?P<data>.*)$", re.DOTALL)
_IMAGE_MIME = "image/png"
_MIME_OF = {
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
    "json": "application/json", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "doc": "application/msword", "xls": "application/vnd.ms-excel", "mp3": "audio/mpeg",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "wav": "audio/wav",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "mp4": "video/mp4",
}  # fmt: skip


def read(call: WireCall, provider: str, family: str, *, custom_tools: bool = False) -> Request:
    """The request, for a wire that can read envelopes of `family`. Raises BadRequestError naming the field.

    `custom_tools`: the wire has them itself, grammars included.
    """
    check_types(call.body)
    request = Request(call, Draft(provider, call.drop_params), custom_tools=custom_tools)
    instructions = call.body.get("instructions")
    if isinstance(instructions, str):
        if instructions:
            request.preamble.append([Text(instructions)])
    elif instructions is not None:
        raise wrong("instructions", f"must be a string, got {type(instructions).__name__}")
    given = call.body.get("input")
    if isinstance(given, str):
        request.turns.append(Turn("user", [Text(given)]))
    else:
        for where, item in mappings(given, "input"):
            _read_item(request, item, where, family)
    _check_calls(request)
    read_tools(request)
    request.choice = read_choice(request)
    request.format = read_format(request)
    return request


def _read_item(request: Request, item: Mapping[str, Any], where: str, family: str) -> None:
    kind = item.get("type") or ("message" if "role" in item else None)
    if not isinstance(kind, str):
        raise wrong(f"{where}.type", "an input item needs a type, or a role and content")
    if kind == "message":
        _read_message(request, item, where)
    elif kind in ("function_call", "custom_tool_call"):
        _append(request, "assistant", _call(item, where, custom=kind == "custom_tool_call"))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        _append(request, "tool", _result(item, where))
    elif kind in ("reasoning", "compaction"):
        _read_sealed(request, item, where, family, kind)
    elif kind in _HOSTED:
        _read_hosted(request, item, where, family, kind)
    else:
        request.draft.refuse(where, f"items of type {kind!r} cannot be sent there")


def _append(request: Request, role: Literal["user", "assistant", "tool"], *parts: Part) -> None:
    """To the open turn of this role; what the user says opens a new one each time."""
    if request.turns and request.turns[-1].role == role and role != "user":
        request.turns[-1].parts.extend(parts)
    else:
        request.turns.append(Turn(role, list(parts)))


def _read_message(request: Request, item: Mapping[str, Any], where: str) -> None:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise wrong(f"{where}.role", f"must be user, assistant, system or developer, got {role!r}")
    content = item.get("content")
    if isinstance(content, str):
        parts: list[Part] = [Text(content)]
    else:
        parts = [_part(part, at) for at, part in mappings(content, f"{where}.content")]
    if role in ("user", "assistant"):
        _append(request, role, *parts)
        return
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        request.draft.refuse(f"{where}.content", "a system message can hold text only")
    if any(turn.role != "system" for turn in request.turns):
        request.turns.append(Turn("system", list(texts)))
    else:
        request.preamble.append(texts)


def _part(part: Mapping[str, Any], where: str) -> Text | Media:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        return Text(text_of(part, "text", where), cache_mark(part))
    if kind == "refusal":
        return Text(text_of(part, "refusal", where))
    if kind == "input_image":
        return _image(part, where)
    if kind == "input_file":
        return _file(part, where)
    if kind == "input_audio":
        audio = mapping(part.get("input_audio"), f"{where}.input_audio")
        form = text_of(audio, "format", f"{where}.input_audio")
        mime = _MIME_OF.get(form, f"audio/{form}")
        return Media("audio", where, mime, data=text_of(audio, "data", f"{where}.input_audio"), name=form)
    raise wrong(f"{where}.type", f"unknown content part {kind!r}; valid are input_text, input_image, input_file ...")


def _image(part: Mapping[str, Any], where: str) -> Media:
    given = part.get("image_url")
    url = given if isinstance(given, str) else mapping(given, where).get("url")
    file_id, detail = part.get("file_id"), part.get("detail")
    if detail is not None and not isinstance(detail, str):
        raise wrong(f"{where}.detail", f"must be a string, got {type(detail).__name__}")
    common: dict[str, Any] = {"detail": None if detail == "auto" else detail, "cache": cache_mark(part)}
    if isinstance(url, str) and url:
        data = _DATA_URL.match(url)
        if data:
            return Media("image", where, data["mime"] or _IMAGE_MIME, data=data["data"], **common)
        return Media("image", where, _mime_of(url, ""), url=url, **common)
    if not isinstance(file_id, str):
        raise wrong(where, "an image needs image_url or file_id")
    return Media("image", where, file_id=file_id, **common)


def _file(part: Mapping[str, Any], where: str) -> Media:
    name = None if part.get("filename") is None else text_of(part, "filename", where)
    extra = {key: part[key] for key in ("citations", "context", "title") if key in part}
    common: dict[str, Any] = {"name": name, "cache": cache_mark(part), "extra": extra}
    data, url, file_id = part.get("file_data"), part.get("file_url"), part.get("file_id")
    if isinstance(data, str):
        found = _DATA_URL.match(data)
        mime = (found["mime"] if found else "") or _mime_of(str(name or ""), "application/pdf")
        return Media("file", where, mime, data=found["data"] if found else data, **common)
    if isinstance(url, str):
        return Media("file", where, _mime_of(url, "application/pdf"), url=url, **common)
    if isinstance(file_id, str):
        return Media("file", where, file_id=file_id, **common)
    raise wrong(where, "a file needs file_data, file_url or file_id")


def _mime_of(name: str, default: str) -> str:
    return _MIME_OF.get(name.partition("?")[0].rpartition(".")[2].lower(), default)


def _call(item: Mapping[str, Any], where: str, *, custom: bool) -> ToolCall:
    name = flat_name(item.get("namespace"), text_of(item, "name", where))
    call_id = text_of(item, "call_id", where)
    made_here = is_made_here(item.get("id"))
    if custom:
        text = text_of(item, "input", where)
        return ToolCall(call_id, name, to_json({"input": text}).decode(), where, made_here, text)
    arguments = item.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        raise wrong(f"{where}.arguments", "must be JSON text")
    return ToolCall(call_id, name, arguments or "{}", where, made_here)


def _result(item: Mapping[str, Any], where: str) -> ToolResult:
    output: object = item.get("output")
    if isinstance(output, str):
        parts: tuple[Text | Media, ...] = (Text(output),)
    elif isinstance(output, list | tuple):
        parts = tuple(_part(part, at) for at, part in mappings(cast("object", output), f"{where}.output"))
    else:
        raise wrong(f"{where}.output", f"must be text or a list of parts, got {type(output).__name__}")
    return ToolResult(text_of(item, "call_id", where), parts, where, failed=item.get("status") == "incomplete")


def _read_sealed(request: Request, item: Mapping[str, Any], where: str, family: str, kind: str) -> None:
    envelope = open_envelope(item.get("encrypted_content"))
    if envelope is not None and envelope.family == family:
        _append(request, "assistant", Native(envelope.blocks, envelope.to_next))
    elif kind == "compaction":
        request.draft.refuse(where, "it cannot read a compaction that another provider made")
    elif item.get("encrypted_content") or item.get("summary") or item.get("content"):
        request.draft.note(f"reasoning that {request.draft.provider} cannot read was left out of the input")


def _read_hosted(request: Request, item: Mapping[str, Any], where: str, family: str, kind: str) -> None:
    envelope = open_envelope(item.get("encrypted_content"))
    if envelope is not None and envelope.family == family:
        _append(request, "assistant", Native(envelope.blocks, envelope.to_next))
    elif kind == "image_generation_call" and isinstance(item.get("result"), str):
        _append(request, "assistant", Media("image", where, _IMAGE_MIME, data=item["result"]))
    else:
        request.draft.warn(f"{kind} items of the history were left out: {request.draft.provider} did not make them")


def _check_calls(request: Request) -> None:
    """Every tool output must answer a call of the input: no provider but the one with the state knows others."""
    called: set[str] = set()
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                called.add(part.call_id)
            elif isinstance(part, ToolResult) and part.call_id not in called:
                raise wrong(
                    f"{part.where}.call_id", f"no function_call with call_id {part.call_id!r} comes before this output"
                )
