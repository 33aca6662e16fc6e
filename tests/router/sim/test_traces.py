"""Traces are read as they are published, and what is wrong with a file is said by line."""

import gzip
from pathlib import Path

import pytest

from tests.recorded import need_data
from turnout.errors import ConfigError
from turnout.sim.traces import read_trace
from turnout.sim.traffic import Arrival

AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2024-02-29 23:59:59.6805900,300,40\r
2024-03-01 00:00:04.1805901,20,7\r
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00+00:00,2399,6
2024-05-10 00:00:02.009930+00:00,1,8
"""
MOONCAKE = """{"timestamp": 3000, "input_length": 1500, "output_length": 5, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 1400, "output_length": 6, "hash_ids": [0, 7, 8]}

{"timestamp": 5500, "input_length": 2000, "output_length": 7, "hash_ids": [0, 1, 2, 9]}
{"timestamp": 6000, "input_length": 300, "output_length": 1, "hash_ids": [0]}
"""
LINKED = """t_s,prompt_tokens,output_tokens,blocks512,shared_prefix_blocks,parent_row
0.0,1500,5,3,0,-1
0.0,1400,6,3,1,0
2.999,2000,7,4,3,0
3.0,300,1,1,1,2
4.5,2600,9,6,4,2
"""


def written(folder: Path, text: str, name: str = "trace") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_azure_times_have_seven_digits_and_cross_midnight(tmp_path: Path) -> None:
    first, second = read_trace(written(tmp_path, AZURE_2023))
    assert (first.at, first.prompt_tokens, first.output_tokens, first.conversation) == (0.0, 300, 40, None)
    assert second.at == pytest.approx(4.5, abs=1e-5)


def test_azure_times_with_a_zone_are_put_in_order(tmp_path: Path) -> None:
    found = read_trace(written(tmp_path, AZURE_2024))
    assert [one.prompt_tokens for one in found] == [2399, 2162, 1]
    assert [one.at for one in found] == pytest.approx([0.0, 0.00993, 2.00993], abs=1e-5)


def test_mooncake_conversations_share_more_than_the_system_prompt(tmp_path: Path) -> None:
    assert read_trace(written(tmp_path, MOONCAKE)) == [
        Arrival(0.0, 1500, 5, 0),
        Arrival(0.0, 1400, 6, 1),
        Arrival(2.5, 2000, 7, 0),
        Arrival(3.0, 300, 1, 3),
    ]


def test_linked_rows_belong_to_the_conversation_of_their_parent(tmp_path: Path) -> None:
    found = read_trace(written(tmp_path, LINKED))
    assert [one.conversation for one in found] == [0, 1, 0, 3, 0]
    assert found[2] == Arrival(2.999, 2000, 7, 0)


def test_compressed_or_not_whatever_the_name(tmp_path: Path) -> None:
    plain = read_trace(written(tmp_path, MOONCAKE, "plain.gz"))
    (tmp_path / "packed.txt").write_bytes(gzip.compress(MOONCAKE.encode()))
    assert read_trace(tmp_path / "packed.txt") == plain


def test_limit_and_scale(tmp_path: Path) -> None:
    path = written(tmp_path, LINKED)
    assert [one.at for one in read_trace(path, limit=3.0)] == [0.0, 0.0, 2.999]
    assert [one.at for one in read_trace(path, scale=2.0)] == [0.0, 0.0, 1.4995, 1.5, 2.25]
    for options in ({"limit": 0}, {"scale": 0}, {"scale": float("nan")}, {"limit": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            read_trace(path, **options)


@pytest.mark.parametrize(
    ("text", "line", "wrong"),
    [
        ("", 0, "no calls|not the beginning"),
        ("time,tokens\n1,2\n", 1, "not the beginning of a known trace"),
        ("t_s,prompt_tokens,output_tokens\n", 1, "there are no calls"),
        ("t_s,prompt_tokens,output_tokens\n0.0,1,2\n0.5,1\n", 3, "2 columns instead of 3"),
        ("t_s,prompt_tokens,output_tokens\n0.0,1,2\n\nsoon,1,2\n", 4, "t_s: must be a number, not 'soon'"),
        ("t_s,prompt_tokens,output_tokens\n0.0,1,2\nnan,1,2\n", 3, "t_s: must be a number"),
        ("t_s,prompt_tokens,output_tokens\n0.0,1.5,2\n", 2, "prompt_tokens: must be a whole number"),
        ("t_s,prompt_tokens,output_tokens\n0.0,1,-2\n", 2, "output_tokens: must not be negative"),
        (AZURE_2023 + "yesterday,1,2\n", 4, "TIMESTAMP: 'yesterday' is no time"),
        (AZURE_2023 + "2024-03-01 00:00:04.18,many,2\n", 4, "ContextTokens: must be a number, not 'many'"),
        (MOONCAKE + '{"timestamp": 1, "input_length"\n', 6, "not a JSON object on one line"),
        (MOONCAKE + "[1, 2]\n", 6, "not a JSON object on one line"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 4, "hash_ids": []}\n', 6, "output_length: must be a number"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 4, "output_length": 4}\n', 6, "hash_ids: must be a list"),
        (LINKED + "5.0,1,1,1,1,5\n", 7, "parent_row: must be -1 or an earlier row than 5, not 5"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, text: str, line: int, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        read_trace(written(tmp_path, text, "mine.csv"))
    assert f"mine.csv, line {line}: " in caught.value.message


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: cannot be read \(No such file"):
        read_trace(tmp_path / "nowhere")
    whole = gzip.compress(AZURE_2023.encode())
    for raw in (whole[:-12], b"\x1f\x8bnothing of the kind", b"\xff\xfe\x00a"):
        (tmp_path / "damaged").write_bytes(raw)
        with pytest.raises(ConfigError, match="damaged, line"):
            read_trace(tmp_path / "damaged")


@pytest.mark.parametrize(
    ("name", "calls", "seconds", "conversations"),
    [
        ("azure2023_conv", 19_366, 3501.722, 1),
        ("azure2023_code", 8_819, 3435.948, 1),
        ("mooncake_conversation", 12_031, 3536.999, 7_373),
        ("mooncake_synthetic", 3_993, 1022.025, 2_245),
    ],
)
def test_the_traces_that_are_here(name: str, calls: int, seconds: float, conversations: int) -> None:
    found = read_trace(need_data() / "traces" / f"{name}.csv.gz")
    assert len(found) == calls
    assert found[-1].at == seconds
    assert len({one.conversation for one in found}) == conversations
