"""Packed bodies, in any cut, and what a body may not be."""

import asyncio
import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout import InvalidReplyError
from turnout.io.unpacking import Whole, read_unpacked, unpacker_for

TEXT = b"all that was said, and more of it. " * 200


def deflated_without_a_head(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP ": gzip.compress,
    "deflate": zlib.compress,
    " deflate": deflated_without_a_head,
}


def unpacked(encoding: str, pieces: Sequence[bytes]) -> bytes:
    """What comes out of a body that arrives in these pieces."""
    unpacker = unpacker_for({"content-encoding": encoding})
    assert unpacker is not None
    left = [*pieces, b""]

    async def run() -> bytes:
        async def read() -> bytes:
            return left.pop(0)

        whole = Whole(10**7)
        while piece := await read_unpacked(unpacker, read):
            whole.add(piece)
        return whole.content

    return asyncio.run(run())


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKERS)), st.integers(1, 40))
def test_a_body_is_the_same_however_it_is_cut(content: bytes, encoding: str, size: int) -> None:
    packed = PACKERS[encoding](content)
    assert unpacked(encoding, [packed[at : at + size] for at in range(0, len(packed), size)]) == content


def test_members_one_after_another_are_one_body_and_padding_is_none() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 20
    assert unpacked("gzip", [packed]) == b"one two"
    assert unpacked("gzip", [packed[:30], packed[30:]]) == b"one two"


def test_a_large_body_comes_in_pieces_and_is_bounded_before_it_is_whole() -> None:
    packed = gzip.compress(bytes(50_000_000))
    assert len(packed) < 60_000
    with pytest.raises(InvalidReplyError, match=r"larger than 10000000 bytes \(max_response_bytes\)"):
        unpacked("gzip", [packed])
    assert unpacked("gzip", [gzip.compress(bytes(9_000_000))]) == bytes(9_000_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("pieces", [[b"no such thing at all"], [b"\x1f\x8b\x08\x00rubbish!!"], [b"\xff" * 50]])
def test_what_is_not_packed_so_is_an_invalid_reply(encoding: str, pieces: Sequence[bytes]) -> None:
    with pytest.raises(InvalidReplyError, match="packed"):
        unpacked(encoding, pieces)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_whose_end_is_missing_is_not_taken_for_whole(encoding: str) -> None:
    packed = PACKERS[encoding](TEXT)
    for cut in (1, 8, len(packed) // 2):
        with pytest.raises(InvalidReplyError, match="end is missing"):
            unpacked(encoding, [packed[:-cut]])


def test_only_what_is_named_is_unpacked() -> None:
    assert unpacker_for({}) is unpacker_for({"content-encoding": " Identity"}) is None
    for encoding in ("br", "zstd", "gzip, gzip", "\0"):
        with pytest.raises(InvalidReplyError, match="content-encoding"):
            unpacker_for({"content-encoding": encoding})
