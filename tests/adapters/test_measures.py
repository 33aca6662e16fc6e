"""Numbers, durations and times from outside: read if they are plain, None in every other case."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout_adapters.measures import LARGEST, amount, count, duration, is_count, moment
from turnout_adapters.refusals import retry_after_of

JUNK = [
    "", " ", "soon", "²", "٣", "1_000", "1.2.3", "nan", "inf", "-", "-3", "1e9", "0x1", "9" * 40, "9" * 5000, "1\n",
    None, True, [], {}, b"5", ["5"], float("nan"), float("inf"), 10**400, -1,
]  # fmt: skip
WHEN = 784_111_777.0


@pytest.mark.parametrize("value", JUNK, ids=lambda one: ascii(one)[:20] if isinstance(one, str) else type(one).__name__)
@pytest.mark.parametrize("read", [amount, count, duration, moment])
def test_what_is_nothing_of_the_kind(read: Any, value: Any) -> None:
    assert read(value) is None
    assert not is_count(value)


AMOUNTS = [
    (0, 0.0), (7, 7.0), (1.9, 1.9), ("12", 12.0), (" 1.5\t", 1.5), ("000", 0.0),
    (LARGEST, LARGEST), (LARGEST + 1, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "found"), AMOUNTS)
def test_amounts(value: Any, found: float | None) -> None:
    assert amount(value) == found
    assert count(value) == (None if found is None or value == " 1.5\t" else int(found))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("34.4s", 34.4), ("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("1d", 86_400), ("5", 5), (2.5, 2.5),
        ("1.2.3s", None), ("s", None), ("-1s", None), ("1s2m", None), ("1s1s", None), ("²s", None), ("1 s", None),
        ("9" * 17 + "s", None), ("9" * 5000 + "s", None),
    ],
)  # fmt: skip
def test_durations(text: Any, seconds: float | None) -> None:
    assert duration(text) == seconds


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is not set to UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


HTTP_DATES = [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "Sun, 06 Nov 1994 10:49:37 +0200", "1994-11-06T08:49:37Z", "1994-11-06T10:49:37+02:00",
]  # fmt: skip


@pytest.mark.parametrize("text", HTTP_DATES)
@pytest.mark.usefixtures("elsewhere")
def test_a_date_means_the_same_wherever_it_is_read(text: str) -> None:
    assert moment(text) == WHEN


NO_DATES = [
    "Sun, 06 Nov 99999999999 08:49:37 GMT", "Sun, 06 Nov 1994 25:99:99 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", ",",
    "a b c d e", "Sun, 06 Nov 1994 08:49:37 +99999999", "Sun, 06 Növ 1994 08:49:37 GMT", "1994-11-06T08:49:37",
    "9999-99-01T00:00:00Z", "Sun, 06 Nov 1994 08:49:37 GMT" + " " * 99,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_DATES)
def test_a_date_that_is_none(text: str) -> None:
    assert moment(text) is None


HEADERS = [
    *({"retry-after": one} for one in ("soon", "²", "1.2.3", "-3", "nan", "1e999", "9" * 400, *NO_DATES)),
    *({"retry-after-ms": one} for one in ("soon", "²", "1.2.3")),
    *({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": one} for one in ("1.2.3s", "²s", "x")),
    {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2027-99-01T00:00:00Z"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=ascii)
def test_a_wait_that_cannot_be_read_is_none(headers: dict[str, str]) -> None:
    assert retry_after_of(headers, 60.0) is None


@pytest.mark.parametrize("delay", ["1.2.3s", "²s", "", None, [], {}, ["1s"], "9" * 5000 + "s"])
def test_a_delay_that_cannot_be_read_does_not_hide_the_next(delay: Any) -> None:
    body = {"error": {"details": [{"retryDelay": delay}, {"retryDelay": "2s"}]}}
    assert retry_after_of({}, 60.0, body) == 2.0


@given(st.text(max_size=40) | st.text("0123456789SunNov:,-+GMTZ. ", max_size=40) | st.floats() | st.integers())
def test_nothing_does_harm(value: Any) -> None:
    for read in (amount, count, duration, moment):
        found = read(value)
        assert found is None or abs(found) < 1e18
