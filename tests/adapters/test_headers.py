"""What may be a header of a caller's or a row's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout_adapters.errors import ConfigError
from turnout_adapters.headers import checked, fits


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0", "a\x1fb", "\x7f", "ü", "€", "\ud800", "\x85"]
)
def test_a_value_that_breaks_the_message_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ConfigError, match="extra_headers: X-A has characters") as caught:
        checked({"X-A": value}, "extra_headers")
    assert value not in str(caught.value)


@pytest.mark.parametrize("value", [1, 1.5, True, b"bytes", ["a"], {"a": 1}, object()])
def test_a_value_is_text(value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"X-A must be a string, got {type(value).__name__}"):
        checked({"X-A": value}, "extra_headers")


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "ü", "a\0", "(a)", 1, None, b"a", ("a",)])
def test_a_name_is_a_token(name: Any) -> None:
    with pytest.raises(ConfigError, match="is no name of a header"):
        checked({name: "1"}, "extra_headers")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "HOST", "connection", "Expect", "te"])
def test_what_frames_a_message_is_the_transports(name: str) -> None:
    with pytest.raises(ConfigError, match=f"extra_headers: {name} is the transport's"):
        checked({name: "1"}, "extra_headers")


@pytest.mark.parametrize("given", ["a: b", [("a", "b")], 5, {"a"}])
def test_headers_are_a_mapping(given: Any) -> None:
    with pytest.raises(ConfigError, match="extra_headers must be a mapping"):
        checked(given, "extra_headers")


def test_good_ones_pass_none_is_left_out_and_blanks_around_a_value_do_not_count() -> None:
    given = {"X-A": " b c\t", "X-B": None, "Authorization": "Bearer other", "x-empty": ""}
    assert checked(given, "extra_headers") == {"X-A": "b c", "Authorization": "Bearer other", "x-empty": ""}
    assert checked(None, "extra_headers") == {}


@given(st.dictionaries(st.text(max_size=5) | st.integers(), st.text(max_size=5) | st.binary(max_size=3) | st.none()))
def test_anything_is_headers_or_a_config_error(given: Any) -> None:
    try:
        found = checked(given, "extra_headers")
    except ConfigError:
        return
    for name, value in found.items():
        assert fits(value)
        assert value.encode("ascii").strip() == value.encode("ascii")
        assert name.isascii()
