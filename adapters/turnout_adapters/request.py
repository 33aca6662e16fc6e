"""A Responses request, read once into what every translated wire needs: turns, tools, a tool choice, a format.

What a provider cannot honour is said here too: `Draft.unsupported` raises before anything is sent, or, under
`drop_params`, becomes a warning on the response. Content is never dropped that way.
"""

import re
from base64 import b32encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, NoReturn, cast

from pydantic_core import from_json

from turnout_adapters.adapter import WireCall
from turnout_adapters.errors import BadRequestError, UnsupportedParameterError


@dataclass(slots=True)
class Draft:
    """What is gathered while one request is encoded."""

    provider: str
    drop_params: bool = False
    warnings: list[str] = field(default_factory=list[str])
    """For `response.warnings`: parameters left out or only nearly honoured."""
    notes: list[str] = field(default_factory=list[str])
    """For `response.route.notes`: what of the conversation could not come along."""

    def refuse(self, param: str, why: str) -> NoReturn:
        """Raises: the parameter is content, or cannot be left out without changing the question."""
        raise UnsupportedParameterError(f"{param}: {self.provider}: {why}", provider=self.provider, param=param)

    def unsupported(self, param: str, why: str) -> None:
        """Raises, or warns under `drop_params`."""
        if not self.drop_params:
            hint = "leave it out, or set drop_params=True to send the call without it"
            raise UnsupportedParameterError(
                f"{param}: {self.provider}: {why}; {hint}", provider=self.provider, param=param
            )
        self.warn(f"{param} was left out: {self.provider}: {why}")

    def warn(self, text: str) -> None:
        """One sentence, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def note(self, text: str) -> None:
        """One sentence, once."""
        if text not in self.notes:
            self.notes.append(text)


def wrong(param: str, problem: str) -> BadRequestError:
    """The error for a request that no provider could serve."""
    return BadRequestError(f"{param}: {problem}", param=param)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text."""

    text: str
    cache: str | None = None
    """Minimum lifetime of a prompt cache breakpoint after this part; "" for the default."""


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a file or sound: as base64 data, at a URL, or under a provider's file id."""

    kind: Literal["image", "file", "audio"]
    where: str
    """The parameter's path, for errors."""
    mime: str = ""
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None
    cache: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`citations`, `context` and `title` of a document, for the providers that have them."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model made. `arguments` is JSON text; of a custom tool, the shim's."""

    call_id: str
    name: str
    arguments: str
    where: str
    made_here: bool = False
    """A translation made it; the reasoning that led to it should be beside it."""
    text: str | None = None
    """The free text of a custom tool's call."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool answered."""

    call_id: str
    parts: "tuple[Text | Media, ...]"
    where: str
    failed: bool = False
    """The item's status is `incomplete`."""


@dataclass(frozen=True, slots=True)
class Native:
    """Blocks of this very wire, from an envelope."""

    blocks: tuple[Mapping[str, Any], ...]
    to_next: bool = False


Part = Text | Media | ToolCall | ToolResult | Native


@dataclass(slots=True)
class Turn:
    """Consecutive parts of one role. `tool` turns hold ToolResult only."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; a custom tool is one with a single text argument, `input`."""

    name: str
    """As sent: a namespace's functions are called namespace__function."""
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None = None
    custom: bool = False
    cache: str | None = None
    """As of Text."""
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The tool as the caller gave it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tools the model may or must call."""

    mode: Literal["auto", "none", "required", "tool"] = "auto"
    name: str | None = None
    allowed: tuple[str, ...] | None = None
    given: bool = False
    """False if the request says nothing."""


@dataclass(frozen=True, slots=True)
class Format:
    """What the text must look like."""

    kind: Literal["json_schema", "json_object"]
    name: str = "response"
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    strict: bool | None = None
    description: str | None = None


@dataclass(slots=True)
class Request:
    """The whole request."""

    call: WireCall
    draft: Draft
    preamble: list[list[Text]] = field(default_factory=list[list[Text]])
    """The instructions, and the system messages before anything else: the parts of each."""
    turns: list[Turn] = field(default_factory=list[Turn])
    tools: list[Tool] = field(default_factory=list[Tool])
    hosted: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """Tools that the provider runs, as given."""
    choice: Choice = field(default_factory=Choice)
    format: Format | None = None
    custom_tools: bool = False
    """The wire has custom tools itself, grammars included."""

    def get(self, name: str) -> Any:
        """A parameter, None if it is not given."""
        return self.call.body.get(name)

    @property
    def system(self) -> list[Text]:
        """The system prompt: all parts of the preamble."""
        return [part for message in self.preamble for part in message]

    @property
    def effort(self) -> str | None:
        """reasoning.effort."""
        return mapping(self.get("reasoning"), "reasoning").get("effort")

    @property
    def summary(self) -> str | None:
        """reasoning.summary."""
        return mapping(self.get("reasoning"), "reasoning").get("summary")

    @property
    def media(self) -> Iterator[Media]:
        """All images, files and sounds, those in the outputs of tools included."""
        for turn in self.turns:
            for part in turn.parts:
                inner = part.parts if isinstance(part, ToolResult) else (part,)
                yield from (one for one in inner if isinstance(one, Media))

    @property
    def offered(self) -> list[Tool]:
        """The tools to send: those that `allowed_tools` allows, or all."""
        allowed = self.choice.allowed
        return self.tools if allowed is None else [tool for tool in self.tools if tool.name in allowed]


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """A JSON object; {} for None."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise wrong(where, f"must be an object, got {type(value).__name__}")


def mappings(value: object, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a list, each with its path."""
    if value is None:
        return
    if not isinstance(value, list | tuple):
        raise wrong(where, f"must be a list, got {type(value).__name__}")
    for index, one in enumerate(cast("list[object]", value)):
        at = f"{where}[{index}]"
        plain = getattr(one, "to_dict", None)
        yield at, mapping(plain() if callable(plain) else one or None, at)


def fitting_id(call_id: str, allowed: re.Pattern[str], length: int = 40) -> str:
    """The call id if the provider takes it, else one made from it: the same for the call and its output."""
    if allowed.fullmatch(call_id):
        return call_id
    return f"call_{b32encode(sha256(call_id.encode()).digest()).decode().lower()}"[:length].rstrip("=")


def arguments_of(call: ToolCall) -> Mapping[str, Any]:
    """A call's arguments as the object they must be. Raises BadRequestError."""
    value = object_in(call.arguments) if call.arguments.strip() else {}
    if value is None:
        raise wrong(f"{call.where}.arguments", "must be a JSON object")
    return value


def all_system(request: Request) -> list[Text]:
    """The system prompt, with later system messages moved into it and the caller told."""
    texts = list(request.system)
    for turn in request.turns:
        if turn.role == "system":
            request.draft.warn("a system message inside the conversation was moved to the system prompt")
            texts.extend(part for part in turn.parts if isinstance(part, Text))
    return [part for part in texts if part.text]


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, None if it is none."""
    try:
        value: object = from_json(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def cache_mark(fields: Mapping[str, Any]) -> str | None:
    """The lifetime of a part's or a tool's prompt cache breakpoint; "" for the default, None without one."""
    mark = fields.get("prompt_cache_breakpoint")
    return None if mark is None else str(mapping(mark, "prompt_cache_breakpoint").get("ttl") or "")


def cached_for_an_hour(request: Request, ttl: str) -> bool:
    """True if a breakpoint must live longer than five minutes; where an hour is the most, 12h is told or refused."""
    wanted = ttl or mapping(request.get("prompt_cache_options"), "prompt_cache_options").get("ttl")
    if wanted == "12h":
        request.draft.unsupported("prompt_cache_breakpoint.ttl", "a breakpoint lives an hour at most")
    return bool(wanted)


def text_of(fields: Mapping[str, Any], name: str, where: str) -> str:
    """A field that must be text."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise wrong(f"{where}.{name}", f"must be a string, got {type(value).__name__}")
    return value
