"""Cooldowns and facts that processes share, through a real Valkey; every `Member` stands for a process."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.valkey import ValkeyCluster, ValkeyServer, eventually
from turnout.cache.memory import MemoryStore
from turnout.cache.redis_client import RedisClient
from turnout.cache.shared import SharedState
from turnout.cache.shared_cooldowns import SharedCooldowns
from turnout.cache.shared_facts import SharedFacts
from turnout.config import parse_model_list
from turnout.config.redis import RedisSettings
from turnout.engine import cooldown
from turnout.engine.fleet import Fleet
from turnout.policies import BudgetPolicy, CooldownPolicy, WaitPolicy
from turnout.strategies import STRATEGIES


class Member:
    """One process's part, with a clock of its own that starts anywhere."""

    def __init__(self, settings: RedisSettings, epoch: float = 0.0, ids: tuple[str, ...] = ("a", "b")) -> None:
        self.epoch = epoch
        self.fleet = Fleet(STRATEGIES["simple-shuffle"](), [], CooldownPolicy(), BudgetPolicy(), WaitPolicy())
        for name in ids:
            self.join(name)
        self.state = SharedState(RedisClient(settings), interval=0.05)
        self.cooldowns = SharedCooldowns(self.fleet, self.now, self.state)
        self.near = MemoryStore()
        self.facts = SharedFacts(self.near, self.state)
        self.state.ensure()

    def now(self) -> float:
        return time.monotonic() + self.epoch

    def join(self, name: str) -> None:
        params = {"model": "openai/gpt", "api_key": "k"}
        row = {"model_name": "gpt", "litellm_params": params, "model_info": {"id": name}}
        self.fleet.add(parse_model_list([row], {})[0], self.now())

    def change(self, name: str, **health: float | None) -> None:
        """What the end of a call does to a deployment, and the word of it."""
        deployment = self.fleet.deployments[name]
        for field, value in health.items():
            setattr(deployment.health, field, value)
        self.cooldowns.on_rest(deployment, self.now())

    def left(self, name: str) -> float:
        """Seconds until the deployment can take a call."""
        now = self.now()
        return cooldown.available_at(self.fleet.deployments[name], now) - now

    def is_open(self, name: str) -> bool:
        return self.fleet.deployments[name].health.open_until is not None


@pytest.fixture
def join(request: pytest.FixtureRequest) -> Iterator[Callable[..., Member]]:
    with ExitStack() as stack:

        def start(settings: RedisSettings, *args: Any, **options: Any) -> Member:
            member = Member(settings, *args, **options)
            stack.callback(member.state.close, 1)
            return member

        yield start


@pytest.fixture(params=["single", "cluster"])
def place(request: pytest.FixtureRequest) -> RedisSettings:
    if request.param == "single":
        return RedisSettings(url=request.getfixturevalue("valkey").url)
    nodes = [(one["host"], one["port"]) for one in request.getfixturevalue("valkey_cluster").startup_nodes]
    return RedisSettings(request.node.name.replace("[", "-").replace("]", ""), startup_nodes=tuple(nodes))


def test_a_throttle_is_known_to_all_whatever_their_clocks_say(place: RedisSettings, join: Any) -> None:
    one, other = join(place), join(place, epoch=5_000_000.0)
    one.change("a", throttled_until=one.now() + 20)
    eventually(lambda: other.left("a") > 0, "a throttle known to the other")
    assert 19 < other.left("a") < 20.1
    assert other.left("b") == 0
    late = join(place, epoch=77.0)
    eventually(lambda: late.left("a") > 0, "a throttle known to who came later")
    other.change("a", throttled_until=other.now() + 5)
    other.change("b", throttled_until=other.now() + 5)
    eventually(lambda: one.left("b") > 0, "the answer")
    assert one.left("a") > 15, "the longer throttle counts"
    assert not one.is_open("a"), "a throttle says nothing of a breaker"


def test_a_breaker_opens_and_closes_for_all(place: RedisSettings, join: Any) -> None:
    one, other = join(place), join(place)
    one.change("a", open_until=one.now() + 30)
    eventually(lambda: other.is_open("a"), "the breaker open for the other")
    assert 29 < other.left("a") < 30.1
    other.change("a", open_until=None)
    eventually(lambda: one.left("a") == 0, "a recovered deployment")
    assert one.is_open("a"), "it is probed here, not believed"


def test_a_throttle_does_not_close_the_breaker_of_another(valkey: ValkeyServer, join: Any) -> None:
    place = RedisSettings(url=valkey.url)
    one, other = join(place), join(place)
    one.change("a", open_until=one.now() + 30)
    other.change("a", throttled_until=other.now() + 1)
    eventually(lambda: other.is_open("a") and one.fleet.deployments["a"].health.throttled_until > 0, "both words")
    assert one.left("a") > 25


def test_a_hint_is_not_said_again(valkey: ValkeyServer, join: Any) -> None:
    place = RedisSettings(url=valkey.url)
    one, other = join(place), join(place)
    one.change("a", open_until=one.now() + 30, throttled_until=one.now() + 30)
    eventually(lambda: other.is_open("a"), "the hint")
    said = valkey.ask("HGETALL", "{turnout:cooldowns}")
    time.sleep(0.3)  # six exchanges of each
    assert valkey.ask("HGETALL", "{turnout:cooldowns}") == said
    assert other.fleet.deployments["a"].health.failures == 0


def test_a_deployment_that_is_added_later_hears_of_its_rest(valkey: ValkeyServer, join: Any) -> None:
    place = RedisSettings(url=valkey.url)
    one, other = join(place), join(place, ids=("b",))
    one.change("a", throttled_until=one.now() + 30)
    eventually(lambda: valkey.ask("EXISTS", "{turnout:cooldowns}"), "the word")
    time.sleep(0.2)
    other.join("a")
    eventually(lambda: other.left("a") > 0, "the word heard")


def test_what_is_over_is_forgotten(valkey: ValkeyServer, join: Any) -> None:
    one = join(RedisSettings(url=valkey.url))
    one.change("a", throttled_until=one.now() + 60)
    eventually(lambda: valkey.ask("PTTL", "{turnout:cooldowns}") > 55_000, "a key that outlives the throttle")
    old = f"{int((time.time() - 60) * 1e6)} {int((time.time() - 30) * 1e3)} 0"
    valkey.ask("HSET", "{turnout:cooldowns}", "b", old)
    eventually(lambda: valkey.ask("HKEYS", "{turnout:cooldowns}") == ["a"], "an old word gone")


def test_changes_wait_for_a_server_that_is_away(
    valkey: ValkeyServer, join: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = RedisSettings(url=valkey.url)
    one, other = join(place), join(place)
    one.facts.set("warm", "up", 60)
    eventually(lambda: valkey.ask("DBSIZE") == 1, "an exchange")
    valkey.kill()
    eventually(lambda: not one.state.healthy and not other.state.healthy, "a server missed")
    one.change("a", throttled_until=one.now() + 30)
    one.facts.set("key", "value", 60)
    valkey.restart()
    eventually(lambda: other.left("a") > 0, "the word heard")
    eventually(lambda: other.facts.get("key") == "value", "the fact")
    assert len([record for record in caplog.records if "reached" in record.message]) == 2
    assert len([record for record in caplog.records if "is back" in record.message]) == 2


def test_a_read_only_server_is_one_change_of_state(
    valkey: ValkeyServer, join: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "turnout")
    one = join(RedisSettings(url=valkey.url))
    one.facts.set("key", "value", 60)
    eventually(lambda: valkey.ask("DBSIZE") == 1, "an exchange")
    valkey.read_only()
    one.facts.set("other", "value", 60)
    eventually(lambda: not one.state.healthy, "the refusal")
    time.sleep(0.5)  # some probes
    valkey.writable()
    eventually(lambda: one.state.healthy, "a recovery")
    assert [record.message for record in caplog.records] == [
        "shared state: the store cannot be reached (ReadOnlyError); this process goes on with what it knows",
        "shared state: the store is back",
    ]


def test_facts_reach_the_others(place: RedisSettings, join: Any) -> None:
    one, other = join(place), join(place)
    one.facts.set("key", "value", 60)
    one.facts.set("brief", "value", 0.2)
    assert one.facts.get("key") == "value", "at once here"
    eventually(lambda: other.facts.get("key") == "value", "and soon there")
    assert other.facts.get("nothing") is None
    one.facts.delete("key")
    assert one.facts.get("key") is None
    third = join(place)
    time.sleep(0.3)
    assert third.facts.get("key") is None
    time.sleep(0.2)
    assert third.facts.get("key") is None, "deleted for who did not know it"
    assert third.facts.get("brief") is None, "expired"


class Waiter:
    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()


def test_lookup_tells_now(place: RedisSettings, join: Any) -> None:
    one, other = join(place), join(place)
    one.facts.set("key", "value", 60)
    one.state.wake()

    def asked() -> Any:
        waiter = Waiter()
        task = other.facts.lookup(["key", "nothing"], waiter)
        assert waiter.event.wait(5)
        return task.value

    eventually(lambda: asked() == {"key": "value"}, "what the other process wrote")
    assert other.near.get("key") == "value", "known from now on"


def test_lookup_fails_at_once_while_redis_is_away(join: Any, valkey: ValkeyServer) -> None:
    one = join(RedisSettings(url=valkey.url))
    valkey.pause()
    waiter = Waiter()
    stuck = one.facts.lookup(["key"], waiter)
    eventually(lambda: not one.state.healthy, "an overdue answer noticed")
    refused = one.facts.lookup(["key"])
    assert refused.done
    assert isinstance(refused.error, ConnectionError)
    assert waiter.event.wait(5)
    assert stuck.error is not None
    valkey.resume()


def test_what_waits_is_bounded(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnout.cache.shared_facts._MOST_CHANGES", 3)
    state = SharedState(RedisClient(RedisSettings(url=valkey.url)))
    facts = SharedFacts(MemoryStore(), state)
    for number in range(5):
        facts.set(f"key{number}", "value", 60)
    state.ensure()
    eventually(lambda: valkey.ask("DBSIZE") == 3, "the newest three")
    state.close(1)
    assert facts.get("key0") == "value"


def test_keys_tell_nothing_and_carry_the_namespace(valkey: ValkeyServer, join: Any) -> None:
    one = join(RedisSettings("mine", url=valkey.url))
    one.facts.set("response:tenant-of-mine:resp_1", "a", 60)
    one.change("a", throttled_until=one.now() + 60)
    eventually(lambda: valkey.ask("DBSIZE") == 2, "both keys")
    for key in valkey.ask("KEYS", "*"):
        assert key.lstrip("{").startswith("mine:")
        assert "tenant-of-mine" not in key


def test_close_says_the_last_word_and_ends_the_thread(valkey: ValkeyServer) -> None:
    member = Member(RedisSettings(url=valkey.url))
    member.facts.lookup([])
    member.facts.set("key", "value", 60)
    member.state.close(5)
    assert valkey.ask("DBSIZE") == 1
    assert "turnout-shared-state" not in {thread.name for thread in threading.enumerate()}
    member.state.ensure()
    member.facts.set("key2", "value", 60)
    eventually(lambda: valkey.ask("DBSIZE") == 2, "used again after close")
    member.state.close(5)


def test_close_does_not_wait_for_a_server_that_hangs(valkey: ValkeyServer) -> None:
    member = Member(RedisSettings(url=valkey.url))
    eventually(lambda: valkey.ask("INFO", "clients")["connected_clients"] > 1, "a connection")
    valkey.pause()
    started = time.monotonic()
    member.state.close(0.2)
    assert time.monotonic() - started < 1
    valkey.resume()
    eventually(lambda: "turnout-shared-state" not in {one.name for one in threading.enumerate()}, "the thread's end")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_shares_too(valkey: ValkeyServer, join: Any) -> None:
    one = join(RedisSettings(url=valkey.url))
    one.facts.set("key", "parent", 60)
    eventually(lambda: valkey.ask("DBSIZE") == 1, "an exchange")
    child = os.fork()
    if child == 0:
        one.state.ensure()
        one.facts.set("key", "child", 60)
        one.state.close(5)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    one.near.delete("key")
    eventually(lambda: one.facts.get("key") == "child", "what the child said")


def test_a_cluster_that_loses_a_node_is_one_change_of_state(join: Any, caplog: pytest.LogCaptureFixture) -> None:
    with ValkeyCluster() as cluster:
        nodes = tuple((one["host"], one["port"]) for one in cluster.startup_nodes)
        one = join(RedisSettings(startup_nodes=nodes))
        one.facts.set("key", "value", 60)
        eventually(lambda: sum(node.ask("DBSIZE") for node in cluster.nodes) == 1, "an exchange")
        cluster.nodes[1].pause()
        for number in range(20):
            one.facts.set(f"key{number}", "value", 60)
        eventually(lambda: caplog.records, "a node missed")
        cluster.nodes[1].resume()
        eventually(lambda: one.state.healthy, "a recovery")
        eventually(lambda: sum(node.ask("DBSIZE") for node in cluster.nodes) >= 21, "what waited")
        one.state.close(2)
        assert len(caplog.records) == 2
