"""What is kept, and what is not, where something else happens at the same time or is missing."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.conftest import row
from turnout import APIConnectionError, BadRequestError, NotFoundError, PinnedUnavailable, Router
from turnout.cache.memory_turns import MemoryTurns
from turnout.continuity.history import history
from turnout.continuity.turns import GONE, Turn
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.history import HistoryRegion


@pytest.fixture
def regions() -> Iterator[FakeCloud]:
    with FakeCloud([HistoryRegion("eastus"), HistoryRegion("westus"), AnthropicRegion("claude")]) as cloud:
        yield cloud


def router_over(cloud: FakeCloud, store: Any = "memory", **options: Any) -> Router:
    claude = row(cloud, "claude", model="anthropic/claude-sonnet-4-5")
    rows = [row(cloud, "eastus"), row(cloud, "westus"), claude]
    return Router(rows, transcripts={"store": store, **options}, num_retries=0)


def line_of(router: Router, group: str, length: int, **more: Any) -> list[str]:
    """The ids of a conversation of so many turns."""
    ids: list[str] = []
    for number in range(length):
        previous = {"previous_response_id": ids[-1]} if ids and "conversation" not in more else {}
        ids.append(router.responses(group, f"ask-{number}", **previous, **more).id)
    return ids


def is_there(router: Router, response_id: str) -> bool:
    try:
        return router.get_responses(response_id).id == response_id
    except NotFoundError:
        return False


@pytest.mark.parametrize("group", ["eastus", "claude"])
def test_a_whole_chain_is_deleted_on_both_sides_of_a_hole(regions: FakeCloud, group: str) -> None:
    with router_over(regions) as router:
        ids = line_of(router, group, 5)
        router.delete_responses(ids[2])
        router.delete_responses(ids[4], whole_chain=True)
        assert not any(is_there(router, one) for one in ids)


def test_a_conversation_with_a_hole_is_deleted_with_all_its_items(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        talk = router.conversations.create(items=[{"role": "user", "content": "ask-0"}])
        ids = line_of(router, "claude", 3, conversation=talk.id)
        router.delete_responses(ids[1])
        with pytest.raises(NotFoundError, match="an earlier response"):
            router.responses("claude", "ask-4", conversation=talk.id)
        router.conversations.delete(talk.id, items=True)
        assert not any(is_there(router, one) for one in ids)
        with pytest.raises(NotFoundError):
            router.conversations.get(talk.id)


class Mute(MemoryTurns):
    """A store whose word about a swap that it has made gets lost, as when a command is sent again."""

    mute = False

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        return super().swap(key, old, new, ttl) and not self.mute


def test_a_turn_never_comes_before_itself(regions: FakeCloud) -> None:
    store = Mute()
    with router_over(regions, store) as router:
        talk = router.conversations.create()
        router.responses("claude", "ask-1", conversation=talk.id)
        store.mute = True
        router.responses("claude", "ask-2", conversation=talk.id)
        store.mute = False
        router.responses("claude", "ask-3", conversation=talk.id)
        body = json.dumps(regions["claude"].journal[-1].body)
        assert [body.count(f"ask-{number}") for number in (1, 2, 3)] == [1, 1, 1]
        said = router.conversations.list_items(talk.id, order="asc")
        assert [item.role for item in said] == ["user", "assistant"] * 3


def test_what_is_too_large_for_a_conversation_is_an_error_and_no_gap(regions: FakeCloud) -> None:
    with router_over(regions, max_turn_bytes=4000) as router:
        talk = router.conversations.create()
        router.responses("claude", "ask-1", conversation=talk.id)
        for stream in (False, True):
            with pytest.raises(BadRequestError, match="max_turn_bytes") as raised:
                list(router.responses("claude", "ask-2" + "x" * 4000, conversation=talk.id, stream=stream))
            assert raised.value.param == "conversation"
        with pytest.raises(BadRequestError, match="max_turn_bytes"):
            router.conversations.add_items(talk.id, [{"role": "user", "content": "x" * 4000}])
        assert len(router.conversations.list_items(talk.id)) == 2
        assert sum(one.in_flight for one in router.status()) == 0


@pytest.mark.parametrize("region", ["eastus", "claude"])
def test_a_row_that_says_store_false_is_obeyed(regions: FakeCloud, region: str) -> None:
    model = {"claude": {"model": "anthropic/claude-sonnet-4-5"}}.get(region, {})
    store = MemoryTurns()
    with Router([row(regions, region, store=False, **model)], transcripts={"store": store}) as router:
        router.responses("gpt", "ask-1")
        assert len(store) == 0
        router.responses("gpt", "ask-1", store=True)
        assert len(store) == 1


class Late(MemoryTurns):
    """A store in which, once it is armed, a turn is deleted right after it was read."""

    armed = False

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        found = super().read(keys)
        if self.armed:
            self.write(dict.fromkeys(keys, GONE), 1000.0)
        return found


def test_what_is_deleted_while_it_is_retrieved_stays_deleted(regions: FakeCloud) -> None:
    store = Late()
    with router_over(regions, store) as router:
        made = router.responses("eastus", "ask-1", background=True)
        store.armed = True
        assert router.get_responses(made.id).status == "completed"
        store.armed = False
        regions.kill("eastus")
        assert len(store) == 1
        with pytest.raises(APIConnectionError):
            router.get_responses(made.id)


def test_ids_of_items_that_the_caller_gave_back_stay_on_their_account(regions: FakeCloud) -> None:
    tool = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}
    with router_over(regions) as router:
        first = router.responses("eastus", "look_up ask-000000000001", tools=[tool], store=False)
        result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "got-000000000002"}
        second = router.responses(
            "eastus", [user("ask-000000000001"), *first.output, result], tools=[tool], store=False
        )
        given = [user("ask-000000000001"), *first.output, result, *second.output, user("ask-000000000003")]
        third = router.responses("eastus", given)
        regions.kill("eastus")
        fourth = router.responses("gpt", "ask-000000000004", previous_response_id=third.id)
    assert fourth.route.affinity == "replayed"
    heard = re.findall("(?:ask|got|say)-[0-9a-f]{12}", fourth.output_text)
    assert heard[1::2] == [f"{kind}-00000000000{number}" for number, kind in enumerate(("ask", "got", "ask", "ask"), 1)]
    assert sum(region.foreign_ids for region in regions.regions.values()) == 0


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_reasoning_that_only_has_an_id_is_left_behind() -> None:
    """It is of use to the account alone, and only as long as that has the response."""
    output = [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}]
    turn = Turn(given=["hi"], response={"status": "completed", "output": output}, domain="a", native=True)
    past = history([turn])
    assert past.items == ["hi"]
    assert "reasoning" in past.notes[0]


class Shared(MemoryTurns):
    """A store that may be cut off."""

    remote = True
    cut = False

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        self.check()
        return super().read(keys)

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        self.check()
        return super().swap(key, old, new, ttl)

    def check(self) -> None:
        if self.cut:
            raise ConnectionError("cut")


def test_a_conversation_that_cannot_be_changed_is_refused_before_anything_is_paid_for(regions: FakeCloud) -> None:
    store = Shared()
    with router_over(regions, store) as router:
        talk = router.conversations.create()
        router.responses("claude", "ask-1", conversation=talk.id)
        store.cut = True
        for _ in range(2):
            with pytest.raises(PinnedUnavailable, match="cannot be reached") as raised:
                router.responses("claude", "ask-2", conversation=talk.id)
            assert raised.value.retry_after == 1.0
        assert regions["claude"].requests == 1
        assert router.responses("claude", "ask-2").output_text
        store.cut = False
