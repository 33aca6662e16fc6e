"""A conversation whose account cannot be reached goes on elsewhere, with its whole history and none of its ids."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import in_flight, row
from turnout import (
    APIError,
    ConfigError,
    DeadlineExceededError,
    NoDeploymentAvailable,
    NotFoundError,
    PinnedUnavailable,
    Router,
)
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage, throttle
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.history import HistoryRegion


@pytest.fixture
def regions() -> Iterator[FakeCloud]:
    """Two accounts that answer from the history they hold, and two providers that hold none."""
    made = [HistoryRegion("eastus"), HistoryRegion("westus"), AnthropicRegion("claude"), GeminiRegion("gemini")]
    with FakeCloud(made) as cloud:
        yield cloud


def rows_of(cloud: FakeCloud, *names: str) -> list[dict[str, Any]]:
    models = {"claude": "anthropic/claude-sonnet-4-5", "gemini": "gemini/gemini-2.5-pro"}
    return [dict(row(cloud, name, model=models.get(name, "azure/gpt-4o"))) for name in names]


def router_over(cloud: FakeCloud, *names: str, **settings: Any) -> Router:
    return Router(rows_of(cloud, *names), **{"transcripts": True, **settings})


def said(router: Router, word: str, previous: Any = None, *, stream: bool = False, **more: Any) -> Any:
    if previous is not None:
        more["previous_response_id"] = previous.id
    answer = router.responses("gpt", word, stream=stream, **more)
    if stream:
        with answer as events:
            return list(events)[-1].response
    return answer


def foreign_ids(cloud: FakeCloud) -> int:
    return sum(region.foreign_ids for region in cloud.regions.values())


@pytest.mark.parametrize("stream", [False, True])
def test_the_conversation_goes_on_in_another_region(regions: FakeCloud, stream: bool) -> None:
    with router_over(regions, "eastus", "westus") as router:
        first = said(router, "ask-1", stream=stream)
        second = said(router, "ask-2", first, stream=stream)
        regions.kill(second.route.deployment)
        third = said(router, "ask-3", second, stream=stream)
        fourth = said(router, "ask-4", third, stream=stream)
    assert second.route.affinity == "pinned"
    assert third.route.affinity == "replayed"
    assert third.route.deployment != second.route.deployment
    assert any("continued from its transcript" in note for note in third.route.notes)
    assert third.previous_response_id == second.id
    assert fourth.route.affinity == "pinned"
    assert fourth.route.deployment == third.route.deployment
    for word in ("ask-1", "ask-2", "ask-3"):
        assert word in json.dumps(regions[third.route.deployment].journal[0].body)
    assert foreign_ids(regions) == 0


def test_a_conversation_crosses_providers_and_comes_back(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "claude", "gemini") as router:
        previous = said(router, "ask-1")
        visited, words = [previous.route.deployment], [previous.output_text.split()[2]]
        for number in range(2, 5):
            regions.kill(previous.route.deployment)
            if number == 4:
                regions.revive(visited[0])
                time.sleep(1.1)  # retries are earned back
            previous = said(router, f"ask-{number}", previous, timeout=20)
            visited.append(previous.route.deployment)
            assert previous.route.affinity == "replayed"
            for word in words:
                assert word in previous.output_text
            words.append(previous.output_text.split()[2])
    assert sorted(visited[:3]) == ["claude", "eastus", "gemini"]
    assert visited[3] == visited[0]
    assert foreign_ids(regions) == 0


def test_tools_and_reasoning_cross_an_account(regions: FakeCloud) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    asked = {"tools": [tool], "reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}
    with router_over(regions, "eastus", "westus") as router:
        first = router.responses("gpt", "ask-1", tool_choice="required", **asked)
        call = next(item for item in first.output if item.type == "function_call")
        regions.kill(first.route.deployment)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "got-it"}
        second = router.responses("gpt", [result], previous_response_id=first.id, **asked)
    assert second.route.affinity == "replayed"
    body = regions[second.route.deployment].journal[-1].body
    kinds = [item.get("type", "message") for item in body["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]
    assert any("reasoning" in note for note in second.route.notes)
    assert foreign_ids(regions) == 0


def test_two_follow_ups_of_one_response_never_mix(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus") as router:
        root = said(router, "ask-root")
        left, right = said(router, "ask-left", root), said(router, "ask-right", root)
        regions.kill(root.route.deployment)
        said(router, "ask-on", left)
        other = next(name for name in ("eastus", "westus") if name != root.route.deployment)
        body = json.dumps(regions[other].journal[-1].body)
        assert "ask-left" in body
        assert "ask-right" not in body
        said(router, "ask-on", right)
        assert "ask-left" not in json.dumps(regions[other].journal[-1].body)


def test_without_transcripts_the_call_ends_in_a_typed_error_in_time(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus", transcripts=False) as router:
        first = said(router, "ask-1")
        regions.kill(first.route.deployment)
        with pytest.raises(PinnedUnavailable) as raised:
            said(router, "ask-2", first, timeout=1.0)
        assert isinstance(raised.value.__cause__, APIError)
        assert raised.value.attempts
        assert in_flight(router) == 0
    assert foreign_ids(regions) == 0


def test_a_turn_from_before_transcripts_were_kept_is_not_replayed(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus", transcripts=None) as router:
        first = said(router, "ask-1")
    with router_over(regions, "eastus", "westus") as router:
        regions.kill(first.route.deployment)
        with pytest.raises(PinnedUnavailable):
            said(router, "ask-2", first, timeout=1.0)
    assert foreign_ids(regions) == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-abc"}]}]}, "file-abc"),
        ({"input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "vs_1"),
        ({"input": "x", "tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "cntr_1"),
        ({"input": "x", "prompt": {"id": "pmpt_1"}}, "stored prompt"),
        ({"input": [{"type": "item_reference", "id": "msg_of_old"}]}, "msg_of_old"),
    ],
)
def test_hosted_state_is_named_where_it_cannot_move(cloud: FakeCloud, given: dict[str, Any], named: str) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        cloud.kill(first.route.deployment)
        with pytest.raises(PinnedUnavailable, match=named) as raised:
            router.responses("gpt", previous_response_id=first.id, timeout=2.0, **given)
    assert named in " ".join(raised.value.hosted)
    assert raised.value.attempts


def test_hosted_state_of_an_earlier_turn_is_named_too(cloud: FakeCloud) -> None:
    file = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-early"}]}]
    with router_over(cloud, "eastus", "westus") as router:
        first = router.responses("gpt", file)
        second = said(router, "ask-2", first)
        cloud.kill(second.route.deployment)
        with pytest.raises(PinnedUnavailable, match="file-early"):
            said(router, "ask-3", second, timeout=2.0)


def test_an_item_reference_to_an_earlier_turn_is_resolved(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus") as router:
        first = said(router, "ask-1")
        regions.kill(first.route.deployment)
        given = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "ask-2"}]
        second = router.responses("gpt", given, previous_response_id=first.id)
    assert second.route.affinity == "replayed"
    body = regions[second.route.deployment].journal[-1].body
    assert "item_reference" not in json.dumps(body)


def test_an_account_that_lost_the_response_is_left(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        cloud[first.route.deployment].responses.clear()
        second = said(router, "ask-2", first)
    assert second.route.affinity == "replayed"


def test_the_only_account_that_lost_the_response_gets_its_history(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus") as router:
        first = said(router, "one")
        cloud["eastus"].responses.clear()
        second = said(router, "two", first)
    assert second.route.affinity == "replayed"
    assert [one.outcome for one in second.route.attempts] == ["caller", "ok"]
    assert "previous_response_id" not in cloud["eastus"].journal[-1].body


def test_an_account_that_lost_the_response_is_not_quoted(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus", region_name="westeurope"), row(cloud, "westus", "other", region_name="eastus")]
    with Router(rows, transcripts=True, fallbacks=[{"other": ["gpt"]}]) as router:
        first = said(router, "one")
        upstream = next(iter(cloud["eastus"].responses))
        cloud["eastus"].responses.clear()
        with pytest.raises(NoDeploymentAvailable) as raised:
            router.responses("other", "two", previous_response_id=first.id, allowed_model_region="eu")
    assert upstream not in str(raised.value)


def test_an_account_that_is_not_configured_any_more_is_replaced(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus") as router:
        first = said(router, "ask-1")
        router.delete_deployment(first.route.deployment)
        second = said(router, "ask-2", first)
        assert "ask-1" in json.dumps(regions[second.route.deployment].journal[-1].body)
        assert router.get_responses(first.id).output_text == first.output_text
        assert router.delete_responses(first.id).deleted
        with pytest.raises(NotFoundError):
            said(router, "ask-3", first)


def test_a_retry_after_that_fits_is_waited_for(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        cloud[first.route.deployment].set_fault(throttle({"retry-after": "0.3"}, times=1))
        second = said(router, "ask-2", first)
    assert second.route.affinity == "pinned"
    assert second.route.waited > 0


def test_the_order_of_steps_is_the_users(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus", on_pin_unavailable=["peer", "replay"]) as router:
        first = said(router, "ask-1")
        cloud[first.route.deployment].set_fault(throttle({"retry-after": "30"}))
        second = said(router, "ask-2", first, num_retries=0)
    assert second.route.affinity == "replayed"
    assert second.route.waited < 1


def test_fail_means_at_once(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus", on_pin_unavailable=["fail"], num_retries=0) as router:
        first = said(router, "ask-1")
        cloud[first.route.deployment].set_fault(outage(503))
        with pytest.raises((PinnedUnavailable, APIError)):
            said(router, "ask-2", first)
    assert cloud[first.route.deployment].requests == 2


def test_a_background_response_follows_its_pin(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = router.responses("gpt", "ask-1", background=True)
        assert first.status == "queued"
        cloud.kill(first.route.deployment)
        with pytest.raises(APIError, match="not finished"):
            said(router, "ask-2", first)
        cloud.revive(first.route.deployment)
        done = router.get_responses(first.id)
        assert (done.status, done.route.deployment) == ("completed", first.route.deployment)
        cloud.kill(first.route.deployment)
        second = said(router, "ask-2", first)
        assert second.route.affinity == "replayed"
        assert done.output_text in json.dumps(cloud[second.route.deployment].journal[-1].body)


def test_a_background_stream_that_was_left_is_kept_when_it_is_resumed(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        with router.responses("gpt", "ask-1", background=True, stream=True) as stream:
            begun = next(stream).response
        with router.get_responses(begun.id, stream=True) as resumed:
            done = list(resumed)[-1].response
        assert done.id == begun.id
        cloud.kill(done.route.deployment)
        second = said(router, "ask-2", done)
        assert second.route.affinity == "replayed"
        assert "ask-1" in json.dumps(cloud[second.route.deployment].journal[-1].body)


def test_a_deleted_response_cannot_be_continued_where_it_lived(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        assert router.delete_responses(first.id).deleted
        with pytest.raises(NotFoundError) as raised:
            said(router, "ask-2", first)
        assert str(raised.value).startswith("no response with this id")


def test_what_is_kept_is_read_while_the_account_is_down(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        second = said(router, "ask-2", first)
        cloud.kill(second.route.deployment)
        read = router.get_responses(second.id)
        items = router.list_input_items(second.id, order="asc")
    assert read.output_text == second.output_text
    assert read.route.affinity == "replayed"
    assert [item.role for item in items] == ["user", "assistant", "user"]


def test_a_deleted_response_is_not_continued(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        second = said(router, "ask-2", first)
        router.delete_responses(first.id)
        cloud.kill(second.route.deployment)
        with pytest.raises((PinnedUnavailable, APIError)):
            said(router, "ask-3", second, timeout=1.5)
    assert foreign_ids(cloud) == 0


def test_the_whole_chain_is_deleted_on_request(cloud: FakeCloud) -> None:
    with router_over(cloud, "eastus", "westus") as router:
        first = said(router, "ask-1")
        second = said(router, "ask-2", first)
        router.delete_responses(second.id, whole_chain=True)
        for one in (first, second):
            with pytest.raises(NotFoundError):
                router.get_responses(one.id)
    assert not any(region.responses for region in cloud.regions.values())


def test_a_cut_stream_leaves_no_turn(regions: FakeCloud) -> None:
    with router_over(regions, "eastus", "westus") as router:
        first = said(router, "ask-1")
        regions[first.route.deployment].set_fault(Fault("cut", events=6, times=1))
        broken = said(router, "ask-2", first, stream=True)
        assert broken.status == "failed"
        regions.kill(first.route.deployment)
        third = said(router, "ask-3", first)
        body = json.dumps(regions[third.route.deployment].journal[-1].body)
        assert "ask-1" in body
        assert "ask-2" not in body
        with pytest.raises((NotFoundError, PinnedUnavailable, DeadlineExceededError)):
            said(router, "ask-4", broken, timeout=1.5)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"transcripts": "mysql://x"}, "transcripts.store"),
        ({"transcripts": {"ttl": 0}}, "transcripts.ttl"),
        ({"transcripts": {"tll": 1}}, "transcripts.tll"),
        ({"transcripts": 3}, "transcripts.store"),
        ({"transcripts": "redis"}, "transcripts.store"),
        ({"on_pin_unavailable": ["wait", "peer"]}, "on_pin_unavailable"),
        ({"on_pin_unavailable": ["fail", "wait"]}, "on_pin_unavailable"),
        ({"on_pin_unavailable": ["relay"]}, "on_pin_unavailable[0]"),
        ({"on_pin_unavailable": ["wait", "wait"]}, "on_pin_unavailable[1]"),
    ],
)
def test_wrong_settings_name_the_field(cloud: FakeCloud, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Router([row(cloud, "eastus")], **settings)
    assert raised.value.param == field
