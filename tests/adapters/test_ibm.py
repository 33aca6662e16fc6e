"""What IBM's identity service may answer."""

import json
from typing import Any

import pytest

from turnout_adapters.adapter import HTTPReply, HTTPRequest
from turnout_adapters.auth.ibm import IBMAuth
from turnout_adapters.errors import AuthenticationError


def refreshed(body: bytes) -> IBMAuth:
    def fetch(request: HTTPRequest) -> HTTPReply:
        return HTTPReply(200, {}, body)

    auth = IBMAuth("key", "watsonx")
    auth.refresh(fetch, 1000.0)
    return auth


def lasts(expires_in: Any) -> float:
    """How many seconds a token is used."""
    auth = refreshed(json.dumps({"access_token": "token", "expires_in": expires_in}).encode())
    return next((at for at in range(0, 10_000, 60) if not auth.ready(1000.0 + at)), float("inf"))


@pytest.mark.parametrize("told", ["soon", -5, float("nan"), float("inf"), 10**400, [], {}, None, True, "²", "1.2.3"])
def test_a_lifetime_that_cannot_be_read_is_an_hour(told: Any) -> None:
    assert lasts(told) == 3600 - 120


@pytest.mark.parametrize("told", [600, 600.0, "600"])
def test_a_lifetime_is_kept_to(told: Any) -> None:
    assert lasts(told) == 600 - 120


@pytest.mark.parametrize("token", [None, 5, "", "a\r\nx: y", "tökén", ["t"], {"t": 1}])
def test_what_is_no_token_is_not_sent(token: Any) -> None:
    with pytest.raises(AuthenticationError, match="no access token"):
        refreshed(json.dumps({"access_token": token}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b"\xff", b"[" * 10_000, b'"token"'])
def test_nor_is_any_other_answer(body: bytes) -> None:
    with pytest.raises(AuthenticationError, match="no access token"):
        refreshed(body)
