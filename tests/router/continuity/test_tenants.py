"""Two tenants on one Router and one store: nothing of one tells the other anything, and forged ids get nowhere."""

import logging
import re
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import SECRET, row
from turnout import APIError, BadRequestError, ConfigError, NotFoundError, Router, TurnoutError
from turnout.cache.memory_turns import MemoryTurns
from turnout.continuity.ids import LONGEST_ID, IdCodec, domain_hash
from turnout.continuity.turns import Talk, Turn, conversation_key, turn_key
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.history import HistoryRegion

MINE, YOURS = "tenant-mine", "tenant-yours"
MEGABYTE = 1 << 20


class Watched(MemoryTurns):
    """A turn store that notes which keys it is asked for and given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.given: dict[str, bytes] = {}

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked += keys
        return super().read(keys)

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        self.given |= entries
        super().write(entries, ttl)

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        self.asked += keys
        super().touch(keys, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        self.asked.append(key)
        self.given[key] = new
        return super().swap(key, old, new, ttl)


@dataclass
class Place:
    """A Router that two tenants share, and what one of them has there."""

    cloud: FakeCloud
    router: Router
    store: Watched

    def __post_init__(self) -> None:
        ask = self.router.responses
        reasons = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}
        first = ask("azure", "ask-secret-of-mine", tenant=MINE, **reasons)
        self.native = first.id
        self.item = first.output[0].id
        self.kept = ask("claude", "ask-secret-of-mine", tenant=MINE).id
        self.talk = self.router.conversations.create(tenant=MINE, items=[{"role": "user", "content": "ask-0"}]).id
        ask("claude", "ask-secret-of-mine", conversation=self.talk, tenant=MINE)

    @property
    def requests(self) -> int:
        return sum(region.requests for region in self.cloud.regions.values())

    def refusal(self, use: "Use", token: str, tenant: str) -> tuple[Any, ...]:
        """How the use of an id is refused. Nothing is sent, and the store is asked nothing."""
        sent, asked = self.requests, len(self.store.asked)
        with pytest.raises(TurnoutError) as raised:
            use(self.router, token, tenant)
        assert self.requests == sent, "a request left"
        assert self.store.asked[asked:] == [], "the store was asked"
        return told(raised.value)


def told(error: TurnoutError) -> tuple[Any, ...]:
    """Everything that a caller can read from an error."""
    return type(error), str(error), error.args, *sorted((name, str(value)) for name, value in vars(error).items())


@pytest.fixture
def place() -> Iterator[Place]:
    made = [HistoryRegion("eastus"), HistoryRegion("westus"), AnthropicRegion("anthropic")]
    with FakeCloud(made) as cloud:
        rows = [row(cloud, "eastus", "azure"), row(cloud, "westus", "azure")]
        rows.append(row(cloud, "anthropic", "claude", model="anthropic/claude-sonnet-4-5"))
        store = Watched()
        with Router(rows, transcripts={"store": store}) as router:
            yield Place(cloud, router, store)


Use = Callable[[Router, str, str], Any]
RESPONSES: dict[str, Use] = {
    "follow-up": lambda router, token, tenant: router.responses(
        "azure", "ask-1", previous_response_id=token, tenant=tenant
    ),
    "follow-up, stream": lambda router, token, tenant: router.responses(
        "azure", "ask-1", previous_response_id=token, tenant=tenant, stream=True
    ),
    "follow-up, stateless wire": lambda router, token, tenant: router.responses(
        "claude", "ask-1", previous_response_id=token, tenant=tenant
    ),
    "compact": lambda router, token, tenant: router.compact_responses(
        "azure", previous_response_id=token, tenant=tenant
    ),
    "get": lambda router, token, tenant: router.get_responses(token, tenant=tenant),
    "get, stream": lambda router, token, tenant: router.get_responses(token, tenant=tenant, stream=True),
    "delete": lambda router, token, tenant: router.delete_responses(token, tenant=tenant),
    "delete chain": lambda router, token, tenant: router.delete_responses(token, tenant=tenant, whole_chain=True),
    "cancel": lambda router, token, tenant: router.cancel_responses(token, tenant=tenant),
    "input items": lambda router, token, tenant: router.list_input_items(token, tenant=tenant),
}
TALKS: dict[str, Use] = {
    "call": lambda router, token, tenant: router.responses("claude", "ask-1", conversation=token, tenant=tenant),
    "call, object": lambda router, token, tenant: router.responses(
        "azure", "ask-1", conversation={"id": token}, tenant=tenant
    ),
    "get": lambda router, token, tenant: router.conversations.get(token, tenant=tenant),
    "update": lambda router, token, tenant: router.conversations.update(token, metadata={}, tenant=tenant),
    "delete": lambda router, token, tenant: router.conversations.delete(token, tenant=tenant),
    "list": lambda router, token, tenant: router.conversations.list_items(token, tenant=tenant),
    "add": lambda router, token, tenant: router.conversations.add_items(
        token, [{"role": "user", "content": "ask-1"}], tenant=tenant
    ),
}


def item_of(kind: str) -> Use:
    def use(router: Router, token: str, tenant: str) -> Any:
        given = [{"type": kind, "id": token, "summary": []}, {"role": "user", "content": "ask-1"}]
        return router.responses("azure", given, tenant=tenant)

    return use


ITEMS: dict[str, Use] = {kind: item_of(kind) for kind in ("reasoning", "compaction", "item_reference", "message")}


def forged(token: str) -> list[str]:
    """What can be made of a good id without its secret."""
    prefix, _, packed = token.partition("_")
    flipped = [packed[:at] + ("A" if packed[at] != "A" else "B") + packed[at + 1 :] for at in range(0, len(packed), 3)]
    other = IdCodec(["the secret of somebody else"])
    domain = domain_hash("any")
    return [
        *(f"{prefix}_{one}" for one in flipped),
        *(token[:length] for length in (len(prefix) + 1, 20, 40, len(token) - 1)),
        *(token + more for more in ("A", "AAAA", "=", "==", "\n", "\0", " ", "é", "\ud800")),
        *(before + token for before in ("\0", "\ud800", " ", "resp_", "../")),
        *(f"{another}_{packed}" for another in ("xx", "RESP", "resp\n", "\ud800", "", prefix + ":", "é", "resp_resp")),
        token.upper(),
        token.swapcase(),
        packed,
        token.replace("_", "__", 1),
        f"{prefix}_" + packed.replace("-", "+").replace("_", "/") + "=" * (-len(packed) % 4),
        *(other.wrap("resp_1", domain, tenant) for tenant in ("", MINE, YOURS)),
        "resp_never",
        "resp_0123456789abcdef0123456789abcdef",
        "\0",
        "\ud800\udfff",
        "ünïcödé",
        "../../responses/x?y#z",
        *(text[:1] * MEGABYTE for text in ("A", "\0", "\ud800", "é", "_")),
        "resp_" + "A" * MEGABYTE,
        token + "A" * MEGABYTE,
    ]


def corpus(place: Place, *good: str) -> list[str]:
    """Forgeries of the tenant's own ids, and good ids of other kinds of things."""
    others = [one for one in (place.native, place.kept, place.item, place.talk) if one not in good]
    return [*others, *(one for token in good for one in forged(token))]


@pytest.mark.parametrize("name", RESPONSES)
def test_every_bad_response_id_is_refused_in_the_same_words(place: Place, name: str) -> None:
    use = RESPONSES[name]
    never = place.refusal(use, "resp_never", YOURS)
    assert never[0] is NotFoundError
    assert never[1] == "no response with this id (status 404)"
    for token in (place.native, place.kept):
        assert place.refusal(use, token, YOURS) == never, "it exists, but is another tenant's"
    for token in corpus(place, place.native, place.kept):
        assert place.refusal(use, token, MINE) == never, token[:80]


@pytest.mark.parametrize("name", TALKS)
def test_every_bad_conversation_id_is_refused_in_the_same_words(place: Place, name: str) -> None:
    use = TALKS[name]
    never = place.refusal(use, "resp_" + "A" * MEGABYTE, YOURS)
    assert never[0] is NotFoundError
    assert never[1] == "no conversation with this id (status 404)"
    assert place.refusal(use, place.talk, YOURS) == never
    for token in corpus(place, place.talk):
        refused = place.refusal(use, token, MINE)
        if name.startswith("call") and refused != never:
            assert issubclass(refused[0], BadRequestError), "it may be the provider's own, which this group cannot use"
            assert not IdCodec([SECRET]).has_our_shape(token)
            assert len(token) <= LONGEST_ID
        else:
            assert refused == never, token[:80]


@pytest.mark.parametrize("kind", ITEMS)
def test_every_bad_item_id_of_our_shape_is_refused_in_the_same_words(place: Place, kind: str) -> None:
    """Ids of another shape are the provider's own, which only the provider can judge."""
    codec = IdCodec([SECRET])
    never = place.refusal(ITEMS[kind], codec.wrap("rs_never", domain_hash("none"), "nobody", "item"), YOURS)
    assert never[0] is NotFoundError
    assert place.refusal(ITEMS[kind], place.item, YOURS) == never
    judged = 0
    for token in corpus(place, place.item):
        if len(token) > LONGEST_ID:
            assert place.refusal(ITEMS[kind], token, MINE)[0] is BadRequestError
        elif codec.looks_owned(token):
            judged += 1
            assert place.refusal(ITEMS[kind], token, MINE) == never, token[:80]
        elif codec.has_our_shape(token):
            judged += 1
            refused = place.refusal(ITEMS[kind], token, MINE)
            assert refused[0] is BadRequestError
            assert "another id_secret" in refused[1]
    assert judged > 20


@pytest.mark.parametrize("token", ["x" * (LONGEST_ID + 1), "\0", "\ud800", "é", 3, ["x"]])
def test_a_place_in_a_list_is_an_id_or_refused(place: Place, token: Any) -> None:
    for listed in (
        lambda: place.router.list_input_items(place.native, after=token, tenant=MINE),
        lambda: place.router.list_input_items(place.kept, after=token, tenant=MINE),
        lambda: place.router.conversations.list_items(place.talk, after=token, tenant=MINE),
    ):
        sent = place.requests
        with pytest.raises(BadRequestError) as raised:
            listed()
        assert raised.value.param == "after"
        assert place.requests == sent


def test_a_place_in_a_list_that_we_named_is_the_providers_own_again(place: Place) -> None:
    place.router.list_input_items(place.native, after=place.item, tenant=MINE)
    path = next(region for region in place.cloud.regions.values() if region.served).journal[-1].path
    assert "after=rs_" in path
    assert place.item not in path
    sent = place.requests
    with pytest.raises(NotFoundError) as raised:
        place.router.list_input_items(place.native, after=place.native, tenant=MINE)
    assert raised.value.param == "after"
    assert place.requests == sent


@pytest.mark.parametrize("option", ["session_id", "litellm_session_id"])
def test_session_ids_are_bounded_and_the_tenants_own(place: Place, option: str) -> None:
    with Router([row(place.cloud, "eastus", "azure")], optional_pre_call_checks=["session_affinity"]) as router:
        sent = place.requests
        given: dict[str, Any] = {option: "A" * MEGABYTE}
        with pytest.raises(ConfigError) as raised:
            router.responses("azure", "ask-1", **given)
        assert len(str(raised.value)) < 200
        assert place.requests == sent
        for text in ("\0", "\ud800", "é"):
            given = {option: text, "tenant": YOURS}
            assert router.responses("azure", "ask-1", **given).route.deployment == "eastus"


def test_a_deleted_response_is_as_one_that_never_was(place: Place) -> None:
    place.router.delete_responses(place.kept, tenant=MINE)
    place.router.conversations.delete(place.talk, tenant=MINE)
    for token, uses, never in (
        (place.kept, {**RESPONSES}, "resp_never"),
        (place.talk, {**TALKS}, "resp_" + "A" * MEGABYTE),
    ):
        for name, use in uses.items():
            with pytest.raises(NotFoundError) as raised:
                use(place.router, token, MINE)
            assert told(raised.value) == place.refusal(use, never, MINE), name


def test_a_tenant_may_have_any_name(place: Place) -> None:
    for name in ("\ud800", "\0", "é", "x" * MEGABYTE, f"{MINE}:", "7:tenant"):
        made = place.router.responses("claude", "ask-1", tenant=name)
        talk = place.router.conversations.create(tenant=name)
        assert place.router.get_responses(made.id, tenant=name).id == made.id
        assert place.router.conversations.get(talk.id, tenant=name).id == talk.id
        with pytest.raises(NotFoundError):
            place.router.get_responses(made.id, tenant=name + "x")


def test_the_same_id_of_two_tenants_is_two_ids_and_two_keys(place: Place) -> None:
    codec, domain = IdCodec([SECRET]), domain_hash("one account")
    assert codec.wrap("resp_1", domain, MINE) != codec.wrap("resp_1", domain, YOURS)
    assert all(re.fullmatch("[0-9a-f]{40}", key) for key in place.store.given)
    for value in place.store.given.values():
        assert MINE.encode() not in value


TEXT = st.text(st.sampled_from(":0123ab\0é\ud800"), max_size=6)


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_two_things_share_a_key(tenant: str, upstream: str, other_tenant: str, other_upstream: str) -> None:
    domain = domain_hash("one account")
    same = (tenant, upstream) == (other_tenant, other_upstream)
    keys = turn_key(tenant, domain, upstream), turn_key(other_tenant, domain, other_upstream)
    assert (keys[0] == keys[1]) is same
    talks = conversation_key(tenant, upstream), conversation_key(other_tenant, other_upstream)
    assert (talks[0] == talks[1]) is same
    assert keys[0] not in talks


def calls_made(action: Callable[[], object]) -> Counter[str]:
    """How often each function is called, built-in ones included."""
    seen: Counter[str] = Counter()

    def note(_: FrameType, event: str, called: Any) -> None:
        seen[called.__name__ if event == "c_call" else event] += 1

    sys.setprofile(note)
    try:
        with pytest.raises(TurnoutError):
            action()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("use", [RESPONSES["follow-up"], RESPONSES["get"], TALKS["get"], ITEMS["reasoning"]])
def test_the_work_for_an_id_does_not_grow_with_its_size(place: Place, use: Use) -> None:
    """Counted, not timed: nothing decodes or hashes what is too long, and nobody copies it."""
    short, long = place.item + "A" * 2000, place.item + "A" * MEGABYTE
    for token in (short, long):
        with pytest.raises(TurnoutError):
            use(place.router, token, MINE)
    work = calls_made(lambda: use(place.router, long, MINE))
    assert work == calls_made(lambda: use(place.router, short, MINE))
    assert not {"a2b_base64", "hmac_digest", "blake2b", "encode", "partition"} & set(work)
    tracemalloc.start()
    with pytest.raises(TurnoutError):
        use(place.router, long, MINE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEGABYTE // 4


def test_nothing_that_is_said_is_shown(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """No content, no tenant and no key in what is logged, raised or printed."""
    hidden = ("secret-of-mine", MINE, SECRET)
    noted: list[Any] = []
    store = Watched()
    rows = [row(place.cloud, "eastus", "azure"), row(place.cloud, "anthropic", "claude", model="anthropic/claude-x")]
    shown: list[str] = []
    with (
        caplog.at_level(logging.DEBUG),
        Router(rows, transcripts={"store": store}, log=True, callbacks=[noted.append], num_retries=0) as router,
    ):
        first = router.responses("azure", "ask-secret-of-mine", tenant=MINE)
        second = router.responses("claude", "ask-secret-of-mine", tenant=MINE)
        for name in place.cloud.regions:
            place.cloud.kill(name)
        for one, group in ((first, "azure"), (second, "claude")):
            for tenant in (MINE, YOURS):
                with pytest.raises(TurnoutError) as raised:
                    router.responses(
                        group, "ask-secret-of-mine", previous_response_id=one.id, tenant=tenant, timeout=0.3
                    )
                shown += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
        with pytest.raises(APIError) as raised:
            router.delete_responses(first.id, tenant=MINE, timeout=0.3)
        shown += [str(raised.value), repr(vars(raised.value))]
        shown += [repr(router), repr(router.conversations), repr(store)]
    logged = [vars(record) for record in caplog.records if hasattr(record, "turnout")]
    shown += [repr(logged), caplog.text, repr(noted)]
    shown += [repr(Turn(given=["secret-of-mine"])), repr(Talk("secret-of-mine", 0))]
    assert logged
    for text in shown:
        for word in hidden:
            assert word not in text
