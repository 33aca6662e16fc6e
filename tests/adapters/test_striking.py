"""Credentials are struck out of texts in every spelling, and nothing else is."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout_adapters import striking
from turnout_adapters.errors import InvalidReplyError
from turnout_adapters.striking import STRUCK, Secrets
from turnout_adapters.types import parse_event

KEY = 'sk-4/7+a"b&c\\d=e'
SPELLINGS = {
    "as it is": KEY,
    "upper case": KEY.upper(),
    "URL": quote(KEY, safe=""),
    "URL, slashes kept": quote(KEY),
    "form": quote_plus(KEY),
    "JSON": json.dumps(KEY)[1:-1],
    "JSON with escaped slashes": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "JSON in JSON": json.dumps(json.dumps(KEY)),
    "Python": repr(KEY)[1:-1],
    "bytes": repr(KEY.encode())[2:-1],
    "HTML": html.escape(KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "Basic": base64.b64encode(f"u:{KEY}".encode()).decode(),
    "Basic, empty user": base64.b64encode(f":{KEY}".encode()).decode(),
    "Basic, key as user": base64.b64encode(f"{KEY}:".encode()).decode(),
    "cut off": KEY[:11],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_struck(spelling: str) -> None:
    told = Secrets([KEY]).strike(f"no such key: {SPELLINGS[spelling]}, sorry")
    assert told.startswith("no such key: ")
    assert told.endswith(", sorry")
    assert STRUCK in told
    left = told.removeprefix("no such key: ").removesuffix(", sorry").replace(STRUCK, "")
    assert len(left) < 8, "what Basic authentication puts around a key may stay"


def test_what_is_short_or_no_secret_stays() -> None:
    text = "openai: the model gpt-4o is unknown, K is short, İstanbul stays"
    assert Secrets([KEY, "K", "gpt-4o"]).strike(text) == text
    assert Secrets([KEY]).strike(f"İstanbul {KEY}") == f"İstanbul {STRUCK}"


@given(st.text(), st.text(), st.text(min_size=8, max_size=60))
def test_no_secret_survives_whatever_surrounds_it(before: str, after: str, secret: str) -> None:
    assert secret not in Secrets([secret]).strike(before + secret + after).replace(STRUCK, "")


@given(st.text(alphabet="ab", min_size=8, max_size=12), st.text(alphabet="ab", max_size=40))
def test_overlapping_matches_leave_nothing(secret: str, text: str) -> None:
    assert secret not in Secrets([secret]).strike(text).replace(STRUCK, "|")


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ([("authorization", "Bearer abcdefgh")], ["abcdefgh"]),
        ([("Authorization", "Token abcdefgh")], ["abcdefgh"]),
        ([("x-api-key", "abcdefgh")], ["abcdefgh"]),
        ([("authorization", f"Basic {base64.b64encode(b'user-name:abcdefgh').decode()}")], ["user-name", "abcdefgh"]),
        (
            [("authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/2026, SignedHeaders=host, Signature=0a1b2c3d")],
            ["AKIDEXAMPLE", "0a1b2c3d"],
        ),
        ([("cookie", "session=abcdefgh; theme=darkdark")], ["abcdefgh"]),
        ([("content-type", "application/json"), ("anthropic-version", "2023-06-01"), ("accept", "text/html")], []),
    ],
)  # fmt: skip
def test_what_is_secret_in_headers(headers: list[tuple[str, str]], secrets: list[str]) -> None:
    for found in (striking.in_headers(headers), striking.in_foreign_headers(headers)):
        listed = list(found)
        assert set(secrets) <= set(listed)
        assert bool(listed) == bool(secrets)
        assert not {"application/json", "host"} & set(listed)


def test_a_callers_header_is_secret_by_its_name_or_its_value_and_a_rows_by_default() -> None:
    plain = [("x-trace", "4711-4712-4713"), ("x-place", "https://me:abcdefgh@host/?sig=ijklmnop&v=1")]
    assert list(striking.in_foreign_headers(plain)) == []
    assert list(striking.in_headers(plain)) == ["4711-4712-4713", "me", "abcdefgh", "ijklmnop", "ijklmnop", "1", "1"]
    assert list(striking.in_foreign_headers([("x-any", "sk-abcdefgh"), ("x-any", "eyJhbGciOi")])) == [
        "sk-abcdefgh",
        "eyJhbGciOi",
    ]


def test_what_is_secret_in_a_body() -> None:
    tool = {
        "type": "mcp",
        "server_url": "https://x",
        "authorization": "Bearer abcdefgh",
        "headers": {"X-Api-Key": "ijkl"},
    }
    assert list(striking.in_fields({"tools": [tool], "max_tokens": 5, "token": {"type": "object"}})) == [
        "abcdefgh",
        "ijkl",
    ]


def test_an_error_and_all_its_causes_are_struck() -> None:
    def failing() -> None:
        try:
            try:
                raise KeyError(KEY)
            except KeyError as error:
                raise InvalidReplyError(f"first {KEY}") from error
        except InvalidReplyError as error:
            second = InvalidReplyError(
                f"second {KEY}", code=KEY, param=KEY, request_id=KEY, body={KEY: [KEY, {"a": KEY}]}, headers={"x": KEY}
            )
            second.add_note(f"note {KEY}")
            raise second from error

    with pytest.raises(InvalidReplyError) as caught:
        failing()
    Secrets([KEY]).strike_error(caught.value)
    inner = caught.value.__cause__
    assert isinstance(inner, InvalidReplyError)
    told = f"{vars(caught.value)} {caught.value!r} {caught.value} {caught.value.__notes__} {vars(inner)} {inner!r}"
    assert KEY not in told
    assert json.dumps(KEY)[1:-1] not in told
    assert inner.__cause__ is None
    assert caught.value.body == {STRUCK: [STRUCK, {"a": STRUCK}]}


def test_a_cause_without_a_secret_stays() -> None:
    cause = ValueError("no number")
    error = InvalidReplyError("x")
    error.__cause__ = cause
    Secrets([KEY]).strike_error(error)
    assert error.__cause__ is cause


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, other = InvalidReplyError(KEY), InvalidReplyError(KEY)
    one.__cause__, other.__context__ = other, one
    Secrets([KEY]).strike_error(one)
    assert (one.message, other.message) == (STRUCK, STRUCK)


def test_events_that_tell_an_error_are_struck_in_place() -> None:
    flat = {"type": "error", "message": f"bad {KEY}", "code": KEY, "param": None, "more": [KEY]}
    failed = {
        "type": "response.failed",
        "sequence_number": 1,
        "response": {"id": "r", "error": {"code": "server_error", "message": f"bad {KEY}", "inner": {"a": KEY}}},
    }
    for fields in (flat, {"type": "error", "error": flat}, failed, {**failed, "response": {"error": {"message": KEY}}}):
        event = parse_event(None, json.dumps(fields).encode())
        Secrets([KEY]).strike_event(event)
        assert json.dumps(KEY)[1:-1] not in f"{event.to_json()} {json.dumps(event.to_dict())}"
        assert STRUCK in json.dumps(event.to_dict())


def test_json_of_any_depth_is_struck() -> None:
    deep: object = KEY
    for _ in range(400):
        deep = [deep]
    assert KEY not in repr(Secrets([KEY]).strike_json(deep))
