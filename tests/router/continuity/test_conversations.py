"""LiteLLM's documented routing-affinity example, with the import changed: every follow-up reaches its account."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

import turnout as litellm
from tests.conftest import SECRET, router_of, row
from turnout import ConfigError, NotFoundError, PinnedUnavailable, Router
from turnout.sim.fake_cloud import FakeCloud

CONVERSATIONS = 200
TURNS = 5


def model_list(
    cloud: FakeCloud, *, key: str = "your-api-key", names: tuple[str, str] = ("a", "a")
) -> list[dict[str, Any]]:
    """The example's two rows, as LiteLLM's documentation has them."""
    return [
        {
            "model_name": name,
            "litellm_params": {
                "model": model,
                "api_key": f"{key}-{region}",
                "api_version": "2025-03-01-preview",
                "api_base": cloud[region].url,
            },
        }
        for name, model, region in (
            (names[0], "azure/gpt-4-turbo", "eastus"),
            (names[1], "azure/gpt-4-turbo-2", "westus"),
        )
    ]


def example(rows: list[dict[str, Any]]) -> Router:
    return litellm.Router(model_list=rows, optional_pre_call_checks=["responses_api_deployment_check"])


async def turn(router: Router, model: str, previous: str | None, *, stream: bool) -> Any:
    more = {} if previous is None else {"previous_response_id": previous}
    answer = await router.aresponses(model=model, input="Hello, who are you?", truncation="auto", stream=stream, **more)
    if not stream:
        return answer
    async for _ in answer:
        pass
    return answer.response


async def converse(router: Router, model: str, start: dict[int, str], turns: int, *, stream: bool) -> dict[int, str]:
    """Runs all conversations for some turns, concurrently; returns the last id of each."""

    async def one(number: int) -> tuple[int, str]:
        previous = start.get(number)
        for _ in range(turns):
            previous = (await turn(router, model, previous, stream=stream)).id
        assert previous is not None
        return number, previous

    gate = asyncio.Semaphore(32)

    async def gated(number: int) -> tuple[int, str]:
        async with gate:
            return await one(number)

    return dict(await asyncio.gather(*[gated(number) for number in range(CONVERSATIONS)]))


@pytest.mark.parametrize("stream", [False, True])
def test_two_hundred_conversations_stay_on_their_accounts(cloud: FakeCloud, stream: bool) -> None:
    async def run() -> None:
        async with example(model_list(cloud)) as router:
            last = await converse(router, "a", {}, 2, stream=stream)
        # a new process would build the same Router: another object, rotated keys, rows reordered and renamed
        rows = list(reversed(model_list(cloud, key="rotated", names=("b", "b"))))
        async with example(rows) as router:
            last = await converse(router, "b", last, TURNS - 2, stream=stream)
            for response_id in list(last.values())[:20]:
                assert f"turn {TURNS}" in (await router.aget_responses(response_id)).output_text

    asyncio.run(run())
    made = [region.served for region in cloud.regions.values()]
    assert sum(made) == CONVERSATIONS * TURNS
    assert min(made[:2]) > CONVERSATIONS // 4, "both accounts took part"
    assert sum(region.foreign_ids for region in cloud.regions.values()) == 0


def test_sync_conversations_stay_too(cloud: FakeCloud) -> None:
    with example(model_list(cloud)) as router:
        for _ in range(20):
            previous = None
            for number in range(TURNS):
                response = router.responses(model="a", input="hi", previous_response_id=previous)
                assert f"turn {number + 1}" in response.output_text
                assert response.route.affinity == ("none" if previous is None else "pinned")
                previous = response.id
    assert sum(region.foreign_ids for region in cloud.regions.values()) == 0


PROCESS = """
import sys
from turnout import Router
params = [{"model": "azure/gpt", "api_key": sys.argv[1], "api_base": url} for url in sys.argv[3:]]
rows = [{"model_name": "a", "litellm_params": one} for one in params]
with Router(rows) as router:
    print(router.responses("a", "hi", previous_response_id=sys.argv[2] or None).id)
"""


def test_another_process_with_the_same_secret_understands_the_ids(cloud: FakeCloud) -> None:
    urls = [cloud["eastus"].url, cloud["westus"].url]

    def process(key: str, previous: str, urls: list[str], secret: str = SECRET) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROCESS, key, previous, *urls]
        environment = {"TURNOUT_ID_SECRET": secret, "PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    first = process("key-1", "", urls)
    second = process("key-2", first.stdout.strip(), urls[::-1])
    assert second.returncode == 0, second.stderr
    assert sum(region.foreign_ids for region in cloud.regions.values()) == 0
    before = sum(region.requests for region in cloud.regions.values())
    other = process("key-1", first.stdout.strip(), urls, "another secret than the first")
    assert "NotFoundError" in other.stderr
    assert sum(region.requests for region in cloud.regions.values()) == before


def test_secrets_rotate(cloud: FakeCloud) -> None:
    old, new = "the old secret, long enough", "the new secret, long enough"
    with router_of(cloud, id_secret=old) as router:
        first = router.responses("gpt", "hi").id
    with router_of(cloud, id_secret=[new, old]) as router:
        second = router.responses("gpt", "hi", previous_response_id=first)
        assert "turn 2" in second.output_text
    with router_of(cloud, id_secret=new) as router:
        assert "turn 3" in router.responses("gpt", "hi", previous_response_id=second.id).output_text
        with pytest.raises(NotFoundError):
            router.responses("gpt", "hi", previous_response_id=first)


def test_every_operation_finds_the_account(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:
        for _ in range(6):
            made = router.responses("gpt", [{"role": "user", "content": "hi"}], background=True)
            assert router.get_responses(made.id).id == made.id
            events = list(router.get_responses(made.id, stream=True, starting_after=3))
            assert events[0].sequence_number == 4
            assert events[-1].response.id == made.id
            assert router.list_input_items(made.id, limit=5).data[0].type == "message"
            assert router.cancel_responses(made.id).status == "cancelled"
            assert router.delete_responses(made.id).id == made.id
            with pytest.raises(NotFoundError):
                router.get_responses(made.id)
        assert router.count_input_tokens("gpt", "hello").input_tokens > 0
        assert router.compact_responses("gpt", "hello").output[0].type == "compaction"


def test_reasoning_stays_where_it_can_be_read(cloud: FakeCloud) -> None:
    """A stateless conversation: encrypted reasoning goes back to the account that made it, under the account's id."""
    asked = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "store": False}
    with router_of(cloud) as router:
        for _ in range(12):
            first = router.responses("gpt", "hi", **asked)
            items = [item.to_dict() for item in first.output]
            second = router.responses("gpt", [*items, {"role": "user", "content": "go on"}], **asked)
            assert second.route.deployment == first.route.deployment
            entry = cloud[first.route.deployment].journal[-1]
            assert entry.body["input"][0]["encrypted_content"] == f"sealed-by-{first.route.deployment}"
            assert entry.body["input"][0]["id"] != items[0]["id"]


def test_output_items_can_be_given_back_as_they_came(cloud: FakeCloud) -> None:
    asked = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "store": False}
    with router_of(cloud) as router:
        for _ in range(6):
            first = router.responses("gpt", "hi", **asked)
            second = router.responses("gpt", [*first.output, {"role": "user", "content": "go on"}], **asked)
            assert second.route.deployment == first.route.deployment
            sent = cloud[first.route.deployment].journal[-1].body["input"]
            given = [item.to_dict() for item in first.output]
            assert sent[0] == {**given[0], "id": sent[0]["id"]}
            assert sent[0]["id"] != given[0]["id"]
            assert sent[1] == given[1]


def test_without_a_secret_items_keep_the_providers_ids(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "store": False}
    with router_of(cloud, "eastus") as router:
        sealed = router.responses("gpt", "hi", **asked).output
    monkeypatch.delenv("TURNOUT_ID_SECRET")
    with router_of(cloud, "eastus") as first, router_of(cloud, "eastus") as second:
        items = [item.to_dict() for item in first.responses("gpt", "hi", **asked).output]
        second.responses("gpt", items, **asked)
        assert cloud["eastus"].journal[-1].body["input"] == items
        with pytest.raises(litellm.BadRequestError, match="another id_secret"):
            second.responses("gpt", sealed, **asked)


def test_peers_on_one_account_share_its_conversations(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus"), row(cloud, "eastus", model="azure/gpt-4o-2"), row(cloud, "westus")]
    rows[1]["model_info"] = {"id": "eastus-2"}
    with Router(rows) as router:
        first = router.responses("eastus", "hi")
        assert first.route.deployment == "eastus"
        router.delete_deployment("eastus")
        second = router.responses("gpt", "hi", previous_response_id=first.id)
        assert (second.route.deployment, second.route.affinity) == ("eastus-2", "peer")
        router.delete_deployment("eastus-2")
        with pytest.raises(NotFoundError):
            router.responses("gpt", "hi", previous_response_id=first.id)


def test_a_group_without_the_account_is_refused_and_so_is_its_fallback(cloud: FakeCloud) -> None:
    rows = [row(cloud, "eastus"), row(cloud, "westus", "other"), row(cloud, "swedencentral", "third")]
    with Router(rows, fallbacks=[{"other": ["third"]}]) as router:
        first = router.responses("gpt", "hi")
        before = sum(region.requests for region in cloud.regions.values())
        with pytest.raises(PinnedUnavailable, match="account that holds this conversation"):
            router.responses("other", "hi", previous_response_id=first.id, timeout=2)
        assert sum(region.requests for region in cloud.regions.values()) == before


def test_tenants_cannot_use_each_others_ids(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:
        mine = router.responses("gpt", "hi", tenant="mine")
        assert "turn 2" in router.responses("gpt", "hi", previous_response_id=mine.id, tenant="mine").output_text
        for tenant in ("yours", None):
            with pytest.raises(NotFoundError) as caught:
                router.responses("gpt", "hi", previous_response_id=mine.id, tenant=tenant)
            assert "mine" not in str(caught.value)


def test_a_raw_conversation_needs_one_account(cloud: FakeCloud) -> None:
    with router_of(cloud) as router:
        with pytest.raises(ConfigError, match=r"did you mean .conversation.") as caught:
            router.responses("gpt", "hi", conversatin="x")
        assert caught.value.param == "conversatin"
        with pytest.raises(litellm.BadRequestError, match="call a deployment by its id"):
            router.responses("gpt", "hi", conversation="conv_1")
        assert "eastus" in router.responses("eastus", "hi", conversation="conv_1").output_text
