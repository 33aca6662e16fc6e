"""What is done with each parameter that a translated wire does not map. One table for all of them.

Some have no effect outside OpenAI and are let be; some would change the answer and are refused, or left out with a
warning under `drop_params`; some would change the question and are always refused.
"""

from collections.abc import Mapping
from typing import Any

from turnout_adapters.request import Request, mapping, wrong

_READ_ELSEWHERE = frozenset("input instructions tools tool_choice text reasoning include max_output_tokens".split())
"""The wires' own encoders answer for these."""
_NO_EFFECT = frozenset(
    """
    stream stream_options metadata client_metadata prompt_cache_key prompt_cache_retention safety_identifier user
    """.split()
)
"""`metadata` is given back in the response, as OpenAI does."""
_NEVER: Mapping[str, str] = {
    "previous_response_id": "it keeps no responses; send the earlier items in input",
    "conversation": "it keeps no conversations; send the earlier items in input",
    "prompt": "it has no stored prompts",
    "background": "it has no background responses",
    "context_management": "it has no context management",
    "moderation": "it has no moderation of this kind",
    "access_programs": "it has no access programs",
}
_PLAIN_VALUES: Mapping[str, tuple[Any, ...]] = {
    "background": (False,),
    "store": (False,),
    "truncation": ("disabled",),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto",),
    "top_logprobs": (0,),
}
"""Values that ask for what happens anyway."""
_INCLUDE_ALWAYS = frozenset({"reasoning.encrypted_content", "web_search_call.action.sources"})
_LOGPROBS = "message.output_text.logprobs"


_NUMBERS = frozenset("temperature top_p presence_penalty frequency_penalty".split())
_WHOLE = frozenset("max_output_tokens max_tool_calls top_logprobs".split())
_FLAGS = frozenset("parallel_tool_calls store background".split())
_TEXTS = frozenset("service_tier truncation safety_identifier user prompt_cache_key prompt_cache_retention".split())
_OBJECTS = frozenset("reasoning text metadata prompt_cache_options stream_options".split())
_LISTS = frozenset("tools include".split())
_EFFORTS = frozenset("none minimal low medium high xhigh max".split())


def check_types(body: Mapping[str, Any]) -> None:
    """Raises BadRequestError for a parameter whose value no provider could take."""
    for name, value in body.items():
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        for names, right, must in (
            (_NUMBERS, number, "a number"),
            (_WHOLE, number and isinstance(value, int) and value >= 0, "a whole number, 0 or more"),
            (_FLAGS, isinstance(value, bool), "True or False"),
            (_TEXTS, isinstance(value, str), "a string"),
            (_OBJECTS, isinstance(value, Mapping), "an object"),
            (_LISTS, isinstance(value, list | tuple), "a list"),
        ):
            if name in names and not right:
                raise wrong(name, f"must be {must}, got {type(value).__name__}")
    included: list[object] = list(body.get("include") or ())
    for index, value in enumerate(included):
        if not isinstance(value, str):
            raise wrong(f"include[{index}]", f"must be a string, got {type(value).__name__}")
    reasoning, text = mapping(body.get("reasoning"), "reasoning"), mapping(body.get("text"), "text")
    if reasoning.get("effort") is not None:
        _one_of("reasoning.effort", reasoning["effort"], _EFFORTS)
    for where, value in (("reasoning.summary", reasoning.get("summary")), ("text.verbosity", text.get("verbosity"))):
        if value is not None and not isinstance(value, str):
            raise wrong(where, f"must be a string, got {type(value).__name__}")


def _one_of(where: str, value: object, names: frozenset[str]) -> None:
    if not isinstance(value, str) or value not in names:
        raise wrong(where, f"must be one of {', '.join(sorted(names))}, got {value!r}")


def check_params(request: Request, mapped: frozenset[str]) -> None:
    """Refuses, warns about, or lets be every parameter that is not in `mapped`."""
    for name, value in request.call.body.items():
        if value is None or name in mapped or name in _READ_ELSEWHERE or name in _NO_EFFECT:
            continue
        if value in _PLAIN_VALUES.get(name, ()):
            continue
        if name in _NEVER:
            request.draft.refuse(name, _NEVER[name])
        request.draft.unsupported(name, "there is no such setting")
    reasoning = mapping(request.get("reasoning"), "reasoning")
    for name in ("context", "mode"):
        if reasoning.get(name) not in (None, "auto") and f"reasoning.{name}" not in mapped:
            request.draft.unsupported(f"reasoning.{name}", "there is no such setting")
    if mapping(request.get("text"), "text").get("verbosity") is not None and "text.verbosity" not in mapped:
        request.draft.unsupported("text.verbosity", "there is no such setting")
    for value in request.get("include") or ():
        if value not in _INCLUDE_ALWAYS and not (value == _LOGPROBS and "top_logprobs" in mapped):
            request.draft.unsupported("include", f"it has nothing for {value!r}")


def wants_logprobs(request: Request) -> bool:
    """True if the caller asks for log probabilities."""
    return _LOGPROBS in (request.get("include") or ()) or bool(request.get("top_logprobs"))
