"""Ids: deterministic, bound to tenant and account, and refused when anything about them was changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import router_of
from turnout import NotFoundError
from turnout.continuity.ids import IdCodec, domain_hash
from turnout.sim.fake_cloud import FakeCloud

CODEC = IdCodec(["one secret that is long", "an older secret, also long"])
DOMAIN = domain_hash("azure|https://x.openai.azure.com|")
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)


@given(TEXT, TEXT)
def test_what_is_wrapped_comes_back(upstream: str, tenant: str) -> None:
    token = CODEC.wrap(upstream, DOMAIN, tenant)
    assert CODEC.unwrap(token, tenant).upstream == upstream
    assert CODEC.unwrap(token, tenant).domain == DOMAIN
    assert CODEC.wrap(upstream, DOMAIN, tenant) == token
    assert token.isascii()
    with pytest.raises(NotFoundError):
        CODEC.unwrap(token, tenant + "x")


@given(st.data())
@settings(max_examples=300)
def test_any_change_is_refused(data: st.DataObject) -> None:
    token = CODEC.wrap("resp_0123456789abcdef", DOMAIN)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda one: one != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    with pytest.raises(NotFoundError, match=r"^no response with this id"):
        CODEC.unwrap(changed)


@given(st.text(max_size=300))
def test_no_text_is_an_id_by_chance(text: str) -> None:
    with pytest.raises(NotFoundError, match=r"^no response with this id"):
        CODEC.unwrap(text)


def test_an_older_secret_still_verifies_but_does_not_sign() -> None:
    old = IdCodec(["an older secret, also long"]).wrap("resp_1", DOMAIN)
    assert CODEC.unwrap(old).upstream == "resp_1"
    assert CODEC.wrap("resp_1", DOMAIN) != old


def test_an_id_tells_nothing_about_the_account() -> None:
    assert "azure" not in repr(CODEC.wrap("resp_1", DOMAIN))
    assert "secret" not in repr(CODEC)


def test_forged_ids_are_refused_before_any_network_call(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:
        token = router.responses("gpt", "hi").id
        before = sum(region.requests for region in cloud.regions.values())
        forged = [
            token[:-1] + ("A" if token[-1] != "A" else "B"),
            token[:-5],
            token + "AAAA",
            token.upper(),
            "resp_VICTIM",
            "resp_" + "a" * 1_000_000,
            "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOmF6dXJl",
            "resp_0123456789abcdef0123456789abcdef",
            "../../responses",
            IdCodec(["a secret of somebody else"]).wrap("resp_1", DOMAIN),
        ]
        for one in forged:
            for refused in (
                lambda one=one: router.responses("gpt", "hi", previous_response_id=one),
                lambda one=one: router.get_responses(one),
                lambda one=one: router.delete_responses(one),
            ):
                with pytest.raises(NotFoundError, match=r"^no response with this id"):
                    refused()
        assert sum(region.requests for region in cloud.regions.values()) == before
