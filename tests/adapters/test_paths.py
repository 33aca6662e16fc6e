"""Names in addresses: quoted, or refused before anything is sent."""

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout_adapters.errors import BadRequestError, ConfigError
from turnout_adapters.paths import host_label, place, segment, segments

WAYS_OUT = [
    "..", ".", "../x", "x/..", "x/../../y", "x/./y", "/x", "x/", "x//y", "", "..\\x", "x\\..\\y", "..;/x", "..;a=b/x",
    "%2e%2e", "%2E%2e/x", "x/%2e%2e%2fy", "%252e%252e/x", "x%2fy", "x%5cy", "x%3fy=1", "x%23y", "x%00", "x%0d%0aA: b",
    "x\r\ny", "x\0y", "x\x7fy", "x\ud800y", "x\u2028y", " /x", ".. /x",
]  # fmt: skip


@pytest.mark.parametrize("name", WAYS_OUT, ids=ascii)
@pytest.mark.parametrize("quoted", [segment, segments])
def test_what_may_lead_elsewhere_is_refused(quoted: object, name: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be part of an address") as caught:
        quoted(name)  # type: ignore[operator]
    assert caught.value.param == "model"
    assert str(caught.value).isascii(), "the name is shown so that it can be printed"


def test_names_that_there_are_stay_what_they_are() -> None:
    assert segments("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"
    assert segments("claude-3@20240229", safe="@") == "claude-3@20240229"
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-v1:0"
    assert segment(arn, safe=":") == arn.replace("/", "%2F")
    assert segment("a b?c#d&e=f+g%h") == "a%20b%3Fc%23d%26e%3Df%2Bg%25h"
    assert segment("100%", "id") == "100%25"
    assert segment("résumé..v2.") == quote("résumé..v2.", safe="")


@given(st.text(max_size=40))
def test_whatever_is_not_refused_is_one_segment(name: str) -> None:
    try:
        found = segment(name)
    except BadRequestError:
        return
    parts = urlsplit(f"https://host/before/{found}/after?own=1")
    assert parts.path.split("/") == ["", "before", found, "after"]
    assert (parts.query, parts.fragment) == ("own=1", "")
    assert unquote(found) == name
    assert found.isascii()


@pytest.mark.parametrize("bad", ["evil.com/", "a.b", "-a", "a-", "", "a b", "x@y", "é", "a" * 64, "us-east-1\n"])
def test_a_region_is_a_label_of_a_host(bad: str) -> None:
    with pytest.raises(ConfigError, match="aws_region_name"):
        host_label(bad, "aws_region_name")
    assert host_label("us-east-1", "aws_region_name") == "us-east-1"


@pytest.mark.parametrize("bad", ["..", "a/b", "a?b", "", ".a", "a..b", "a b", "a\n"])
def test_a_project_is_a_word(bad: str) -> None:
    with pytest.raises(ConfigError, match="vertex_project"):
        place(bad, "vertex_project")
    assert place("example.com:my-project_1", "vertex_project") == "example.com:my-project_1"
