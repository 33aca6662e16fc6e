"""On wires whose providers keep nothing, the transcript gives OpenAI's operations their meaning."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.conversations import Conversation as OpenAIConversation
from openai.types.conversations import ConversationDeletedResource
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseItemList
from pydantic import TypeAdapter

from tests.conftest import SECRET, row
from turnout import BadRequestError, ConfigError, NotFoundError, Router, TurnoutError
from turnout.cache.memory_turns import MemoryTurns
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.history import HistoryRegion


@pytest.fixture
def regions() -> Iterator[FakeCloud]:
    with FakeCloud([AnthropicRegion("claude"), AnthropicRegion("spare"), HistoryRegion("azure")]) as cloud:
        yield cloud


def router_over(cloud: FakeCloud, **settings: Any) -> Router:
    rows = [dict(row(cloud, name, model="anthropic/claude-sonnet-4-5")) for name in ("claude", "spare")]
    return Router([*rows, dict(row(cloud, "azure", group="gpt-4o"))], **settings)


def ask(number: int) -> str:
    """A word that the fakes repeat for as long as they are told it."""
    return f"ask-{number:012x}"


def three_turns(router: Router, **more: Any) -> list[Any]:
    turns: list[Any] = []
    for number in range(3):
        if turns:
            more["previous_response_id"] = turns[-1].id
        turns.append(router.responses("gpt", ask(number), **more))
    return turns


def test_a_response_is_stored_unless_the_caller_says_otherwise(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        kept, not_kept = router.responses("gpt", ask(1)), router.responses("gpt", ask(1), store=False)
        assert (kept.store, not_kept.store) == (True, False)
        assert router.get_responses(kept.id).to_dict() == kept.to_dict()
        with pytest.raises(NotFoundError, match="no response with this id"):
            router.get_responses(not_kept.id)
        with pytest.raises(NotFoundError, match="no response with this id"):
            router.responses("gpt", ask(2), previous_response_id=not_kept.id)
        assert router.responses("gpt", ask(2), previous_response_id=kept.id, store=True).store
    TypeAdapter(OpenAIResponse).validate_python(kept.model_dump())


def test_input_items_are_what_led_to_the_response(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        turns = three_turns(router)
        whole = router.list_input_items(turns[2].id, order="asc")
        assert [item.role for item in whole] == ["user", "assistant", "user", "assistant", "user"]
        assert len({item.id for item in whole}) == 5
        assert [item.id for item in router.list_input_items(turns[2].id)] == [item.id for item in whole][::-1]
        first = router.list_input_items(turns[2].id, order="asc", limit=2)
        rest = router.list_input_items(turns[2].id, order="asc", limit=5, after=first.last_id)
        assert (first.has_more, rest.has_more) == (True, False)
        assert [item.id for item in (*first, *rest)] == [item.id for item in whole]
        for query, field in (({"limit": 0}, "limit"), ({"order": "up"}, "order"), ({"after": "msg_x"}, "after")):
            with pytest.raises(BadRequestError) as raised:
                router.list_input_items(turns[2].id, **query)
            assert raised.value.param == field
    TypeAdapter(ResponseItemList).validate_python(whole.model_dump())


def test_deleting_takes_a_response_out_of_every_history(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        turns = three_turns(router)
        assert router.delete_responses(turns[1].id).deleted
        for refused in (
            lambda: router.get_responses(turns[1].id),
            lambda: router.delete_responses(turns[1].id),
            lambda: router.responses("gpt", "x", previous_response_id=turns[1].id),
            lambda: router.responses("gpt", "x", previous_response_id=turns[2].id),
        ):
            with pytest.raises(NotFoundError):
                refused()
        assert router.get_responses(turns[2].id).id == turns[2].id
        assert ask(0) in router.responses("gpt", "x", previous_response_id=turns[0].id).output_text


def test_a_chain_is_deleted_as_a_whole_on_request(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        turns = three_turns(router)
        assert router.delete_responses(turns[2].id, whole_chain=True).id == turns[2].id
        for turn in turns:
            with pytest.raises(NotFoundError):
                router.get_responses(turn.id)
        with pytest.raises(ConfigError) as raised:
            router.get_responses(turns[0].id, whole_chain=True)
        assert raised.value.param == "whole_chain"


def test_only_what_can_be_is_cancelled_or_streamed_again(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        kept = router.responses("gpt", ask(1))
        with pytest.raises(BadRequestError, match="background"):
            router.cancel_responses(kept.id)
        with pytest.raises(BadRequestError, match="background"):
            router.get_responses(kept.id, stream=True)


def test_a_response_lives_as_long_as_it_is_told_and_longer_while_it_is_continued(regions: FakeCloud) -> None:
    now = [0.0]
    store = MemoryTurns(timer=lambda: now[0])
    with router_over(regions, transcripts={"store": store, "ttl": 100.0}) as router:
        kept = router.responses("gpt", ask(1))
        now[0] = 90.0
        second = router.responses("gpt", ask(2), previous_response_id=kept.id)
        now[0] = 180.0
        third = router.responses("gpt", ask(3), previous_response_id=second.id)
        assert all(ask(number) in third.output_text for number in (1, 2, 3))
        now[0] = 281.0
        with pytest.raises(NotFoundError):
            router.get_responses(third.id)


def test_a_turn_that_is_too_large_is_not_kept_and_says_so(regions: FakeCloud) -> None:
    with router_over(regions, transcripts={"max_turn_bytes": 3000}) as router:
        response = router.responses("gpt", ask(1) + " " + "x" * 3000)
        assert response.store is False
        assert "max_turn_bytes" in response.warnings[0]
        with router.responses("gpt", ask(1) + " " + "x" * 3000, stream=True) as stream:
            last = list(stream)[-1].response
        assert last.store is False
        assert "max_turn_bytes" in last.warnings[0]
        with pytest.raises(NotFoundError):
            router.get_responses(response.id)


def test_the_turn_is_written_before_the_last_event_is_handed_out(regions: FakeCloud) -> None:
    class Counting(MemoryTurns):
        written = 0

        def write(self, entries: Any, ttl: float) -> None:
            super().write(entries, ttl)
            self.written += 1

    store = Counting()
    with router_over(regions, transcripts=store) as router, router.responses("gpt", "a", stream=True) as stream:
        kinds = [event.type for event in stream if event.type != "response.completed" or store.written == 1]
    assert kinds[-1] == "response.completed"


def test_a_router_without_transcripts_keeps_nothing(regions: FakeCloud) -> None:
    with router_over(regions, transcripts=False) as router:
        response = router.responses("gpt", ask(1))
        assert response.store is False
        with pytest.raises(TurnoutError):
            router.responses("gpt", ask(2), previous_response_id=response.id)
        with pytest.raises(ConfigError) as raised:
            router.conversations.create()
        assert raised.value.param == "transcripts"


def test_another_process_reads_a_shared_store(regions: FakeCloud) -> None:
    store = MemoryTurns()
    with router_over(regions, transcripts=store, id_secret=SECRET) as router:
        first = router.responses("gpt", ask(1))
    with router_over(regions, transcripts=store, id_secret=["a newer secret of 16", SECRET]) as router:
        assert router.get_responses(first.id).output_text == first.output_text
        second = router.responses("gpt", ask(2), previous_response_id=first.id)
        assert ask(1) in second.output_text
    with router_over(regions, id_secret=SECRET) as router, pytest.raises(NotFoundError):
        router.responses("gpt", ask(2), previous_response_id=first.id)


def test_a_conversation_grows_with_every_call_on_any_provider(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        said_before = [{"role": "user", "content": f"{ask(900)} was said before "}]
        talk = router.conversations.create(items=said_before, metadata={"ticket": "42"})
        first = router.responses("gpt", ask(901), conversation=talk.id)
        second = router.responses("gpt-4o", ask(902), conversation={"id": talk.id})
        third = router.responses("gpt", ask(903), conversation=talk.id, stream=True)
        with third as stream:
            last = list(stream)[-1].response
        for word in (ask(900), ask(901), ask(902)):
            assert word in last.output_text
        assert first.conversation == second.conversation == {"id": talk.id}
        listed = router.conversations.list_items(talk.id, order="asc")
        assert [item.role for item in listed] == ["user", "user", "assistant", "user", "assistant", "user", "assistant"]
        assert router.conversations.get(talk.id).metadata == {"ticket": "42"}
        assert router.conversations.update(talk.id, metadata={}).metadata == {}
        added = router.conversations.add_items(talk.id, [{"role": "user", "content": "by the way"}])
        assert router.conversations.list_items(talk.id, limit=1).data[0].id == added.data[0].id
        gone = router.conversations.delete(talk.id)
        for refused in (
            lambda: router.conversations.get(talk.id),
            lambda: router.responses("gpt", "x", conversation=talk.id),
            lambda: router.conversations.list_items(first.id),
        ):
            with pytest.raises(NotFoundError, match="no conversation with this id"):
                refused()
        assert router.get_responses(first.id).id == first.id
    TypeAdapter(OpenAIConversation).validate_python(talk.model_dump())
    TypeAdapter(ConversationDeletedResource).validate_python(gone.model_dump())


def test_a_conversation_can_take_what_was_said_with_it(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        talk = router.conversations.create()
        first = router.responses("gpt", ask(901), conversation=talk.id)
        router.conversations.delete(talk.id, items=True)
        with pytest.raises(NotFoundError):
            router.get_responses(first.id)


def test_calls_at_once_in_one_conversation_all_stay_in_it(regions: FakeCloud) -> None:
    async def run() -> list[Any]:
        async with router_over(regions) as router:
            talk = await router.conversations.acreate()
            calls = [router.aresponses("gpt", ask(number), conversation=talk.id) for number in range(5)]
            answers = await asyncio.gather(*calls)
            items = await router.conversations.alist_items(talk.id, limit=100)
            assert {one.id for answer in answers for one in answer.output} <= {item.id for item in items}
            return list(items)

    assert len(asyncio.run(run())) == 10


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"items": []}, "items"),
        ({"items": ["text"]}, "items[0]"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a" * 65: "x"}}, "metadata"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
    ],
)
def test_a_conversation_is_made_of_sound_parts(regions: FakeCloud, given: dict[str, Any], field: str) -> None:
    with router_over(regions) as router, pytest.raises(BadRequestError) as raised:
        router.conversations.create(**given)
    assert raised.value.param == field


def test_a_conversation_and_a_previous_response_exclude_each_other(regions: FakeCloud) -> None:
    with router_over(regions) as router:
        talk, first = router.conversations.create(), router.responses("gpt", ask(1))
        with pytest.raises(BadRequestError) as raised:
            router.responses("gpt", ask(2), conversation=talk.id, previous_response_id=first.id)
    assert raised.value.param == "conversation"
