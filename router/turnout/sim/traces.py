"""Reads traces of LLM traffic: when calls came and how long they were.

Three forms are known by their first line; any may be compressed with gzip.

- The Azure Public Dataset's CSV (`TIMESTAMP,ContextTokens,GeneratedTokens`), of 2023 and of 2024.
- Mooncake's JSONL (`timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids`).
- A CSV of seconds and tokens (`t_s,prompt_tokens,output_tokens`), to which the columns
  `blocks512,shared_prefix_blocks,parent_row` may be added: the call's blocks of 512 tokens, how many of them at its
  beginning an earlier call has too, and the row of that call (counted from 0; -1 for none).

Two calls belong to one conversation if they share at least their first two blocks, 1,024 tokens: no provider caches
less of a prompt, and in Mooncake's conversations all calls share the first block, which is the system prompt.
"""

import gzip
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf, isfinite
from os import PathLike
from pathlib import Path
from typing import Any, TextIO, cast

from turnout.errors import ConfigError
from turnout.sim.traffic import Arrival

SHARED_BLOCKS = 2
"""Blocks of 512 tokens that calls of one conversation have in common, at the least."""
_AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
_SECONDS = "t_s,prompt_tokens,output_tokens"
_PREFIXES = "blocks512,shared_prefix_blocks,parent_row"
_GZIP = b"\x1f\x8b"


def read_trace(path: str | PathLike[str], *, limit: float = inf, scale: float = 1.0) -> list[Arrival]:
    """All calls of a trace, in order of time, counted from the first.

    `limit` keeps the first so many seconds of the trace; `scale` then makes calls come so many times as fast.
    Raises ConfigError that names the file, the line and what is wrong with it.
    """
    path = Path(path)
    if not (isfinite(scale) and scale > 0):
        raise ConfigError(f"scale: must be a number above 0, not {scale}", param="scale")
    if not limit > 0:
        raise ConfigError(f"limit: must be a number of seconds above 0, not {limit}", param="limit")
    with _opened(path) as file:
        lines = _Lines(file)
        try:
            found = _kept(_calls(lines), limit)
        except (EOFError, OSError, ValueError) as error:  # OSError: damaged compression
            raise ConfigError(f"{path}, line {lines.number}: {error}", param="trace") from None
    found.sort(key=lambda one: one.at)
    begun = found[0].at
    return [Arrival((one.at - begun) / scale, one.prompt_tokens, one.output_tokens, one.conversation) for one in found]


class _Lines:
    """The lines of a file that are not blank. `number` is that of the last one."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.number += 1
            if text := line.strip():
                yield text


@contextmanager
def _opened(path: Path) -> Generator[TextIO]:
    """The text of a file, which may be compressed."""
    try:
        with path.open("rb") as raw:
            compressed = raw.read(len(_GZIP)) == _GZIP
        opening = gzip.open if compressed else open
        file = cast("TextIO", opening(path, "rt", encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", param="trace") from None
    with file:
        yield file


def _kept(calls: Iterator[Arrival], limit: float) -> list[Arrival]:
    """The first `limit` seconds. Calls may be noted out of order, so that the file is read to its end."""
    first = next(calls, None)
    if first is None:
        raise ValueError("there are no calls in the file")
    end = first.at + limit
    return [first, *(one for one in calls if one.at < end)]


def _calls(lines: _Lines) -> Iterator[Arrival]:
    """The calls, with times as the file has them."""
    rows = iter(lines)
    head = next(rows, "")
    if head.startswith("{"):
        yield from _mooncake(head, rows)
    elif head == _AZURE:
        for cells in _cells(rows, 3):
            yield Arrival(_moment(cells[0]), _count(cells[1], "ContextTokens"), _count(cells[2], "GeneratedTokens"))
    elif head == _SECONDS:
        for cells in _cells(rows, 3):
            yield Arrival(*_basics(cells))
    elif head == f"{_SECONDS},{_PREFIXES}":
        yield from _linked(_cells(rows, 6))
    else:
        known = f"{_AZURE} (Azure), {_SECONDS}[,{_PREFIXES}], or JSON objects with timestamp (Mooncake)"
        raise ValueError(f"not the beginning of a known trace; those are {known}")


def _linked(rows: Iterator[list[str]]) -> Iterator[Arrival]:
    """Rows that name the earlier row with which they share their beginning."""
    conversations: list[int] = []
    for index, cells in enumerate(rows):
        shared, parent = _count(cells[4], "shared_prefix_blocks"), _whole(cells[5], "parent_row")
        if not -1 <= parent < index:
            raise ValueError(f"parent_row: must be -1 or an earlier row than {index}, not {parent}")
        conversations.append(conversations[parent] if parent >= 0 and shared >= SHARED_BLOCKS else index)
        yield Arrival(*_basics(cells), conversations[index])


def _mooncake(head: str, rows: Iterator[str]) -> Iterator[Arrival]:
    """JSON objects. The id of a block stands for all that comes before it too; both are compared all the same."""
    first_with: dict[tuple[object, ...], int] = {}
    index, text = 0, head
    while True:
        call = _object(text)
        blocks: object = call.get("hash_ids")
        if not isinstance(blocks, list):
            raise ValueError("hash_ids: must be a list")
        beginning = tuple(cast("list[object]", blocks)[:SHARED_BLOCKS])
        conversation = first_with.setdefault(beginning, index) if len(beginning) == SHARED_BLOCKS else index
        at = _number(call.get("timestamp"), "timestamp") / 1000
        prompt, answer = (_count(call.get(name), name) for name in ("input_length", "output_length"))
        yield Arrival(at, prompt, answer, conversation)
        following = next(rows, None)
        if following is None:
            return
        index, text = index + 1, following


def _object(text: str) -> dict[str, Any]:
    try:
        found: object = json.loads(text)
    except ValueError:
        raise ValueError("not a JSON object on one line") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object on one line")
    return cast("dict[str, Any]", found)


def _cells(rows: Iterator[str], count: int) -> Iterator[list[str]]:
    for text in rows:
        cells = text.split(",")
        if len(cells) != count:
            raise ValueError(f"has {len(cells)} columns instead of {count}")
        yield cells


def _basics(cells: list[str]) -> tuple[float, int, int]:
    return _number(cells[0], "t_s"), _count(cells[1], "prompt_tokens"), _count(cells[2], "output_tokens")


def _moment(text: str) -> float:
    """A time of day, in UTC unless it says otherwise, as seconds."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"TIMESTAMP: {text!r} is no time such as 2023-11-16 18:15:46.6805900") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _number(value: object, name: str) -> float:
    """A number, from text or JSON."""
    try:
        found = float(cast("Any", value))
    except (TypeError, ValueError):
        found = inf
    if not isfinite(found) or isinstance(value, bool):
        raise ValueError(f"{name}: must be a number, not {value!r}")
    return found


def _whole(value: object, name: str) -> int:
    found = _number(value, name)
    if found != int(found):
        raise ValueError(f"{name}: must be a whole number, not {value!r}")
    return int(found)


def _count(value: object, name: str) -> int:
    found = _whole(value, name)
    if found < 0:
        raise ValueError(f"{name}: must not be negative, not {found}")
    return found
