"""Frames that are damaged, too long, or hold something else than they should."""

import json
import struct
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire_answers import event_frame, frame
from turnout_adapters.errors import APIError, InvalidReplyError
from turnout_adapters.eventstream import EventStreamSplitter
from turnout_adapters.framing import Lines, Whole

FRAME = event_frame("messageStart", {"role": "assistant"})


def cut(data: bytes, inner: str = "") -> list[tuple[str | None, bytes]]:
    return list(EventStreamSplitter("p", inner=inner).feed(data))  # type: ignore[arg-type]


def prelude(total: int, headers: int) -> bytes:
    start = struct.pack(">II", total, headers)
    return start + struct.pack(">I", zlib.crc32(start))


@pytest.mark.parametrize(
    ("total", "headers"), [(0, 0), (15, 0), (16, 1), (20, 2**32 - 1), (2**32 - 1, 0), (25 << 20, 4)]
)
def test_absurd_lengths_are_not_waited_for(total: int, headers: int) -> None:
    with pytest.raises(InvalidReplyError, match="damaged"):
        cut(prelude(total, headers))


@given(at=st.integers(0, len(FRAME) - 1), bit=st.integers(0, 7))
def test_one_wrong_bit_is_found_out(at: int, bit: int) -> None:
    wrong = bytearray(FRAME)
    wrong[at] ^= 1 << bit
    with pytest.raises(InvalidReplyError, match="damaged"):
        cut(bytes(wrong))


@given(length=st.integers(0, len(FRAME) - 1))
def test_a_part_of_a_frame_is_none(length: int) -> None:
    splitter = EventStreamSplitter("p")
    assert list(splitter.feed(FRAME[:length])) == []
    assert splitter.pending == (length > 0)
    assert list(splitter.feed(FRAME[length:])) == [("messageStart", json.dumps({"role": "assistant"}).encode())]


def sealed(headers: bytes, payload: bytes = b"{}") -> bytes:
    start = prelude(16 + len(headers) + len(payload), len(headers)) + headers + payload
    return start + struct.pack(">I", zlib.crc32(start))


@given(headers=st.binary(max_size=40))
def test_any_headers(headers: bytes) -> None:
    try:
        assert len(cut(sealed(headers))) == 1
    except APIError as error:
        assert error.provider == "p"


@pytest.mark.parametrize("inner", [5, [], {}, True, "%", "²", "abc", "YQ=\n="])
def test_an_envelope_without_base64(inner: object) -> None:
    with pytest.raises(InvalidReplyError, match="base64"):
        cut(event_frame("chunk", {"bytes": inner}), "bytes")


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"[" * 5000, b'{"message": [1], "code": {}}'])
def test_any_exception_frame_is_a_typed_error(payload: bytes) -> None:
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    with pytest.raises(APIError):
        cut(frame(headers, payload))


def fed(framing: Lines | Whole, pieces: Iterable[bytes]) -> list[tuple[str | None, bytes]]:
    return [found for piece in pieces for found in framing.feed(piece)]


def test_a_line_is_bounded_and_many_lines_are_not() -> None:
    assert fed(Lines(longest=10), [b"{}\n" * 5, b'{"a"', b":1}\n{}\n"]) == [(None, b"{}")] * 5 + [
        (None, b'{"a":1}'),
        (None, b"{}"),
    ]
    with pytest.raises(InvalidReplyError, match="longer than 10"):
        fed(Lines(longest=10), [b"{}\n", b"x" * 6, b"x" * 6])


def test_an_answer_in_one_piece_is_bounded() -> None:
    with pytest.raises(InvalidReplyError, match="longer than 10"):
        fed(Whole(longest=10), [b"x" * 6, b"x" * 6])
