"""What the providers of bare text have in common: one text in, one text out."""

from turnout_adapters.adapter import WireCall
from turnout_adapters.params import check_params
from turnout_adapters.reading import read
from turnout_adapters.request import Request, Text, Turn


def read_text(call: WireCall, provider: str, mapped: frozenset[str]) -> Request:
    """The request, if it is made of text only. Raises UnsupportedParameterError naming what is not."""
    request = read(call, provider, provider)
    check_params(request, mapped)
    if request.tools or request.hosted:
        request.draft.refuse("tools", "its models are given text and answer text; they have no tools")
    if request.format is not None:
        request.draft.refuse("text.format", "its models follow no format")
    if request.effort is not None or request.summary is not None:
        request.draft.unsupported("reasoning", "there is no such setting")
    for turn in request.turns:
        if not all(isinstance(part, Text) for part in turn.parts):
            request.draft.refuse("input", "its models are given text only")
    return request


def said(turn: Turn) -> str:
    """The text of a turn."""
    return "\n".join(part.text for part in turn.parts if isinstance(part, Text))


def transcript(request: Request) -> str:
    """The conversation as one prompt: the text alone if there is but one, else with who said it."""
    turns = [turn for turn in request.turns if turn.role != "system"]
    if len(turns) == 1:
        return said(turns[0])
    names = {"user": "User", "assistant": "Assistant"}
    return "\n\n".join(f"{names.get(turn.role, 'User')}: {said(turn)}" for turn in turns) + "\n\nAssistant:"
