"""What providers say is left, in their own words; nonsense is ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.limits.upstream import Remaining, remaining

NOW, UNIX = 100.0, 1_800_000_000.0
AT = "2027-01-15T08:00:12Z"
"""Twelve seconds after UNIX."""


def openai(left: str = "0", reset: str = "1s", what: str = "requests") -> dict[str, str]:
    return {f"x-ratelimit-remaining-{what}": left, f"x-ratelimit-reset-{what}": reset, "content-type": "text/plain"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("6m0s", 360), ("12ms", 0.012), ("1h2m3.5s", 3723.5), ("59.94s", 59.94), ("2m", 120), ("10", 10),
        ("7.66", 7.66), ("1d", 86_400), ("400h", 86_400),
    ],
)  # fmt: skip
def test_resets_as_durations(text: str, seconds: float) -> None:
    assert remaining(openai(reset=text), NOW, UNIX) == {"requests": Remaining(0, NOW + seconds)}


@pytest.mark.parametrize("reset", ["", "soon", "-1s", "1s2m", "s", "1 s", "1e9s", "nan", "inf", "0s", "²s", "9" * 99])
def test_resets_that_cannot_be_read_are_ignored(reset: str) -> None:
    assert remaining(openai(reset=reset), NOW, UNIX) == {}


@pytest.mark.parametrize("left", ["", "-1", "1.5", "many", "٣", "1_000", "9" * 40])
def test_counts_that_cannot_be_read_are_ignored(left: str) -> None:
    assert remaining(openai(left), NOW, UNIX) == {}


def test_one_that_cannot_be_read_does_not_hide_the_other() -> None:
    headers = {**openai("x"), **openai("150", "6m0s", "tokens")}
    assert remaining(headers, NOW, UNIX) == {"tokens": Remaining(150, NOW + 360)}


def test_anthropic_says_when() -> None:
    headers = {
        f"anthropic-ratelimit-{name}-{field}": value
        for name, left in {"requests": "49", "tokens": "9000", "input-tokens": "0", "output-tokens": "8000"}.items()
        for field, value in {"limit": "99999", "remaining": left, "reset": AT}.items()
    }
    assert remaining(headers, NOW, UNIX) == {
        unit: Remaining(left, NOW + 12)
        for unit, left in {"requests": 49, "tokens": 9000, "input": 0, "output": 8000}.items()
    }


@pytest.mark.parametrize("reset", ["", "tomorrow", "2027-01-15T08:00:12", "2020-01-01T00:00:00Z", "12"])
def test_times_that_say_nothing_are_ignored(reset: str) -> None:
    headers = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": reset}
    assert remaining(headers, NOW, UNIX) == {}


@given(left=st.text(max_size=12), reset=st.text(max_size=12))
def test_no_header_can_do_harm(left: str, reset: str) -> None:
    for headers in (
        openai(left, reset),
        {"anthropic-ratelimit-requests-remaining": left, "anthropic-ratelimit-requests-reset": reset},
    ):
        for one in remaining(headers, NOW, UNIX).values():
            assert one.amount >= 0
            assert NOW < one.until <= NOW + 86_400
