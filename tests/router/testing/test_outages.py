"""Our remote stores say in time that their server is away; a store that hangs, lies or does not recover is caught."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from tests.valkey import ValkeyServer
from turnout.cache.memory import MemoryStore
from turnout.cache.memory_turns import MemoryTurns
from turnout.cache.redis_client import RedisClient
from turnout.cache.redis_turns import RedisTurns
from turnout.cache.shared import SharedState
from turnout.cache.shared_facts import SharedFacts
from turnout.config.redis import RedisSettings
from turnout.testing import check_store_outage, check_turn_store_outage


@pytest.fixture(params=["killed", "paused"])
def outage(request: pytest.FixtureRequest, valkey: ValkeyServer) -> Callable[[], object]:
    @contextmanager
    def away() -> Iterator[None]:
        valkey.kill() if request.param == "killed" else valkey.pause()
        yield
        valkey.restart() if request.param == "killed" else valkey.resume()

    return away


def test_turns_on_redis(outage: Callable[[], object], valkey: ValkeyServer) -> None:
    store = RedisTurns(RedisClient(RedisSettings(url=valkey.url)))
    check_turn_store_outage(lambda: store, outage)
    store.close()


def test_facts_on_redis(outage: Callable[[], object], valkey: ValkeyServer) -> None:
    state = SharedState(RedisClient(RedisSettings(url=valkey.url)), interval=0.05)
    state.ensure()
    check_store_outage(lambda: SharedFacts(MemoryStore(), state), outage)
    state.close(1)


class Server:
    """Away within `outage`; what then hangs, does so until the test ends."""

    def __init__(self) -> None:
        self.away = False
        self.end = threading.Event()

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.away = True
        yield
        self.away = False


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end.set()


class Turns(MemoryTurns):
    """Does what a test wants while its server is away."""

    remote = True

    def __init__(self, server: Server, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.server = server
        self.meanwhile = meanwhile

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        if self.server.away:
            self.meanwhile()
        return super().swap(key, old, new, ttl)

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        self._raise_if_away()
        return super().read(keys)

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        self._raise_if_away()
        super().write(entries, ttl)

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        self._raise_if_away()

    def erase(self, keys: Sequence[str]) -> None:
        self._raise_if_away()

    def _raise_if_away(self) -> None:
        if self.server.away:
            raise ConnectionError("away")


def away() -> None:
    raise ConnectionError("away")


def test_a_turn_store_that_raises_keeps_the_rule(server: Server) -> None:
    check_turn_store_outage(lambda: Turns(server, away), server.outage)


def test_a_turn_store_that_hangs_is_caught(server: Server) -> None:
    with pytest.raises(AssertionError, match=r"swap, while the server is away: it has not ended after 0\.1 s"):
        check_turn_store_outage(lambda: Turns(server, server.end.wait), server.outage, patience=0.1)


def test_a_turn_store_that_lies_is_caught(server: Server) -> None:
    with pytest.raises(AssertionError, match="swap returned while the server was away: it must raise"):
        check_turn_store_outage(lambda: Turns(server, lambda: None), server.outage)


def test_a_turn_store_that_does_not_recover_is_caught(server: Server) -> None:
    @contextmanager
    def for_ever() -> Iterator[None]:
        server.away = True
        yield

    with pytest.raises(AssertionError, match=r"does not work within 0\.2 s after the server is back"):
        check_turn_store_outage(lambda: Turns(server, away), for_ever, patience=0.2)


class Facts(MemoryStore):
    def __init__(self, server: Server, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.server = server
        self.meanwhile = meanwhile

    def get(self, key: str) -> str | None:
        if self.server.away:
            self.meanwhile()
        return super().get(key)


def test_a_store_of_facts_may_raise_or_go_on_and_may_not_hang(server: Server) -> None:
    check_store_outage(lambda: Facts(server, away), server.outage)
    check_store_outage(lambda: Facts(server, lambda: None), server.outage)
    with pytest.raises(AssertionError, match="get, while the server is away: it has not ended"):
        check_store_outage(lambda: Facts(server, server.end.wait), server.outage, patience=0.1)
