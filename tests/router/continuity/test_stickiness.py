"""What a call's affinity key is made of."""

from collections.abc import Mapping
from typing import Any

import pytest

from turnout import ConfigError
from turnout.context import AffinityKey
from turnout.continuity.stickiness import BEGINNING, LONGEST_ID, affinity_key
from turnout.policies import AffinityKind, AffinityPolicy

ALL: tuple[AffinityKind, ...] = ("session", "deployment", "prompt_cache")
LONG = "You are a careful assistant. " * 200


def made(
    body: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    kinds: tuple[AffinityKind, ...] = ALL,
    tenant: str = "",
    operation: Any = "create",
) -> AffinityKey | None:
    return affinity_key(AffinityPolicy(kinds), "gpt", operation, tenant, body, options or {})


SESSIONS: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
    ({}, {"session_id": "s"}),
    ({}, {"litellm_session_id": "s"}),
    ({}, {"litellm_metadata": {"session_id": "s"}}),
    ({"metadata": {"session_id": "s"}}, {}),
    ({"metadata": {"session_id": "other"}}, {"litellm_metadata": {"session_id": "s"}}),
    ({}, {"session_id": "s", "litellm_session_id": "other"}),
)


@pytest.mark.parametrize(("body", "options"), SESSIONS)
def test_a_session_is_the_same_wherever_it_is_named(body: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    expected = made({}, {"session_id": "s"})
    assert expected is not None
    assert expected.kind == "session"
    assert made(body, options) == expected


def test_the_caller_is_the_one_that_litellms_proxy_notes_else_the_tenant() -> None:
    notes = [{"user_api_key_hash": "u"}, {"user_api_key_user_id": "u"}]
    by_hash, by_user = [made({}, {"litellm_metadata": one}) for one in notes]
    by_tenant = made({}, tenant="u")
    assert by_hash is not None
    assert by_hash.kind == "deployment"
    assert len({by_hash, by_user, by_tenant}) == 3
    assert made({"metadata": notes[0]}) == by_hash
    assert made({}, {"litellm_metadata": {**notes[0], **notes[1]}}) == by_hash
    assert made({"user": "u", "safety_identifier": "u"}) is None  # end users, not callers


def test_the_beginning_of_a_long_prompt_is_its_key() -> None:
    asked = {"instructions": LONG, "input": "Why?"}
    expected = made(asked)
    assert expected is not None
    assert expected.kind == "prompt_cache"
    assert made({"instructions": LONG, "input": "How?"}) == expected
    assert made({"instructions": LONG + "And brief.", "input": []}) == expected
    assert made({"instructions": "And brief. " + LONG, "input": "Why?"}) != expected
    assert made({**asked, "tools": [{"type": "function", "name": "look_up"}]}) != expected


def test_a_conversation_keeps_its_key_as_it_grows() -> None:
    asked = {"role": "user", "content": LONG}
    expected = made({"input": LONG})
    assert expected is not None
    turns: list[dict[str, Any]] = [asked]
    for number in range(5):
        assert made({"input": turns}) == expected
        turns = [*turns, {"role": "assistant", "content": "Because."}, {"role": "user", "content": f"And {number}?"}]


def test_a_short_prompt_has_no_key() -> None:
    assert made({"input": "x" * (BEGINNING - 100)}) is None
    assert made({"input": "x" * BEGINNING}) is not None
    assert made({"input": None}) is None


def test_a_prompt_cache_key_stands_for_the_prompt() -> None:
    named = made({"prompt_cache_key": "faq", "input": "hi"})
    assert named is not None
    assert made({"prompt_cache_key": "faq", "input": LONG}) == named
    assert made({"prompt_cache_key": "faq2", "input": "hi"}) != named


def test_only_what_writes_a_prompt_cache_has_a_key_of_its_prompt() -> None:
    assert made({"input": LONG}, operation="compact") == made({"input": LONG})
    assert made({"input": LONG}, operation="input_tokens") is None


def test_the_first_in_the_order_of_precedence_is_taken() -> None:
    body, options = {"input": LONG}, {"session_id": "s"}

    def kind(*kinds: AffinityKind, **given: Any) -> str | None:
        found = made(body, given.get("options", options), kinds, tenant="t")
        return None if found is None else found.kind

    assert kind(*ALL) == "session"
    assert kind(*ALL, options={}) == "deployment"
    assert kind("session", "prompt_cache", options={}) == "prompt_cache"
    assert kind() is None


def test_tenants_and_kinds_have_keys_of_their_own() -> None:
    keys = {
        made({}, {"session_id": "s"}, tenant="a"),
        made({}, {"session_id": "s"}, tenant="b"),
        made({}, {"session_id": "s"}),
        made({}, {"session_id": "bs"}, tenant=""),
        made({"prompt_cache_key": "s"}, kinds=("prompt_cache",)),
        made({}, {"litellm_metadata": {"user_api_key_hash": "s"}}),
    }
    assert len(keys) == 6


@pytest.mark.parametrize("value", ["x" * (LONGEST_ID + 1), 5, ["s"]])
@pytest.mark.parametrize("where", ["session_id", "litellm_session_id", "litellm_metadata.session_id"])
def test_an_id_that_is_no_text_or_too_long_is_refused_and_not_repeated(where: str, value: object) -> None:
    holder, _, name = where.rpartition(".")
    options = {holder: {name: value}} if holder else {name: value}
    with pytest.raises(ConfigError) as caught:
        made({}, options)
    assert caught.value.param == where
    assert "xxx" not in str(caught.value)


def test_an_id_of_any_characters_is_hashed() -> None:
    found = made({}, {"session_id": "\udcff\x00" * (LONGEST_ID // 2)})
    assert found is not None
    assert "\\udcff" not in repr(found)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_no_shape_of_prompt_breaks_the_key() -> None:
    assert made({"input": deep(100_000)}) is not None
    assert made({"input": [{"content": [object(), None, 1.5, True] * 5000}]}) is not None
    assert made({"input": [{}] * 10_000}) == made({"input": [{}] * 20_000})
