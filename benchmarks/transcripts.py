"""What a million stored turns cost: bytes, and time for a follow-up and for reading a conversation back.

    python -m benchmarks.transcripts [--turns 1000000] [--stores memory bounded sqlite valkey sealed postgres]

The first four are the default, and take about five minutes; PostgreSQL alone takes as long, and all the disk it wants.

Every store is filled in a process of its own, through the same code as a Router's: turns of about 2 KB and the keys of
up to 32 turns before, in conversations of 100 turns, a hundred of which grow at a time. Measured twice, with 1,000
turns in the store and with all of them; a ratio near 1 shows that neither the turns that are stored nor those of other
conversations matter, only the length of the chain that is read. Valkey and PostgreSQL are real servers on this machine.
"""

import argparse
import contextlib
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from turnout.cache.memory import MemoryStore
from turnout.cache.memory_turns import MemoryTurns
from turnout.cache.sealed_turns import SealedTurns
from turnout.cache.sql_turns import SQLTurns
from turnout.continuity.affinity import Continuity
from turnout.continuity.ids import IdCodec
from turnout.continuity.shelf import Shelf
from turnout.continuity.transcripts import Transcripts
from turnout.continuity.turns import PATH, Turn, pack, turn_key
from turnout.engine.port import run_without_loop
from turnout.policies import TranscriptPolicy
from turnout.protocols import TurnStore

LENGTH = 100
"""Turns in a conversation."""
WIDTH = 100
"""Conversations that grow at the same time."""
FEW = 1000
TTL = 30 * 86400.0
MEBI = 2**20
BOUND = 256 * MEBI
SAMPLES = 200
WORDS = [f"{number:x}" * (1 + number % 3) for number in range(3, 2000)]
TEXT = " ".join(random.Random(1).choices(WORDS, k=200_000))
"""What is said; it compresses about as well as text does."""
STORES = ("memory", "bounded", "sqlite", "valkey", "sealed", "postgres")
USUAL = STORES[:4]
NAMES = {
    "memory": "memory, without a bound",
    "bounded": "memory, bounded to 256 MiB",
    "sqlite": "SQLite",
    "sealed": "SQLite, encrypted",
    "valkey": "Valkey",
    "postgres": "PostgreSQL",
}


@dataclass
class Held:
    """A store, and how to ask where its bytes are."""

    store: TurnStore
    stored: Callable[[], int]
    """Bytes in the place where the turns are; for memory, how much this process has grown."""


@dataclass
class Result:
    """What was measured: seconds by what was done, with few turns and with all."""

    held: int
    written: float
    """Bytes of a turn as it is written."""
    stored: float
    """Bytes in the store for each turn that it holds."""
    grown: int
    """Bytes by which this process grew."""
    longest: float
    """Seconds of the longest write, of a hundred turns at once: a table that doubles shows in it."""
    few: dict[str, float] = field(default_factory=dict)
    all: dict[str, float] = field(default_factory=dict)


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextlib.contextmanager
def opened(name: str) -> Iterator[Held]:
    if name in ("memory", "bounded"):
        before = resident()
        store = MemoryTurns(BOUND if name == "bounded" else 2**50)
        yield Held(store, lambda: resident() - before)
    elif name in ("sqlite", "sealed"):
        with tempfile.TemporaryDirectory() as folder:
            plain = SQLTurns(f"sqlite:///{folder}/turns.db", timeout=30.0)
            store = SealedTurns(plain, ["a secret of the benchmark"]) if name == "sealed" else plain
            yield Held(store, lambda: sum(one.stat().st_size for one in Path(folder).iterdir()))
            store.close()
    elif name == "valkey":
        from tests.valkey import ValkeyServer
        from turnout.cache.redis_client import RedisClient
        from turnout.cache.redis_turns import RedisTurns
        from turnout.config.redis import RedisSettings

        with ValkeyServer() as server:
            store = RedisTurns(RedisClient(RedisSettings(url=server.url)))
            yield Held(store, lambda: server.client().info("memory")["used_memory"])
            store.close()
    else:
        from tests.postgres import PostgresServer

        with PostgresServer("-c", "max_wal_size=4GB") as running:
            store = SQLTurns(running.url, timeout=30.0)
            yield Held(store, lambda: running.ask("select pg_total_relation_size('turnout_turns')"))
            store.close()


def key_of(chain: int, step: int) -> str:
    return turn_key("", b"account.", f"resp_{chain}_{step}")


def ancestors(chain: int, step: int) -> tuple[str, ...]:
    return tuple(key_of(chain, before) for before in range(step - 1, max(step - 1 - PATH, -1), -1))


def entry(chain: int, step: int, path: tuple[str, ...]) -> bytes:
    """A turn as a Router writes it: a question of 500 characters, and an answer of 1,000."""
    start = random.randrange(len(TEXT) - 1500)
    asked, said = TEXT[start : start + 500], TEXT[start + 500 : start + 1500]
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": asked}]}
    answer = {"type": "output_text", "text": said, "annotations": []}
    response = {
        "id": f"resp_{chain}_{step}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": "a-model",
        "output": [{"type": "message", "id": f"msg_{chain}_{step}", "role": "assistant", "content": [answer]}],
        "usage": {"input_tokens": 1000, "output_tokens": 300, "total_tokens": 1300},
    }
    turn = Turn(path, [question], response, "openai|https://api.openai.com|acme", "a-deployment", "a-group")
    return pack(turn)


def fill(store: TurnStore, first: int, last: int, progress: Callable[[int], None]) -> tuple[int, float]:
    """Writes whole conversations, a turn of each in turn: the bytes of their turns, and the longest write."""
    written, longest = 0, 0.0
    for start in range(first, last, WIDTH):
        chains = range(start, min(start + WIDTH, last))
        paths: dict[int, tuple[str, ...]] = dict.fromkeys(chains, ())
        for step in range(LENGTH):
            entries: dict[str, bytes] = {}
            for chain in chains:
                key = key_of(chain, step)
                entries[key] = entry(chain, step, paths[chain])
                paths[chain] = (key, *paths[chain])[:PATH]
            began = time.perf_counter()
            store.write(entries, TTL)
            longest = max(longest, time.perf_counter() - began)
            written += sum(map(len, entries.values()))
        progress(chains.stop * LENGTH)
    return written, longest


def median(work: Callable[[int], Any], samples: int = SAMPLES) -> float:
    """Seconds; `work` is given a number that it may use to do something else each time."""
    taken: list[float] = []
    for number in range(samples):
        began = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(store: TurnStore, chains: range, fresh: Iterator[int]) -> dict[str, float]:
    """Medians on conversations drawn at random from `chains`."""
    transcripts = Transcripts(
        Shelf(store, ttl=TTL), Continuity(IdCodec(["a secret"]), MemoryStore(), {}), TranscriptPolicy()
    )
    drawn = [random.choice(chains) for _ in range(SAMPLES)]
    news = [next(fresh) for _ in range(SAMPLES)]
    packed = [(key_of(chain, 0), entry(chain, 0, ())) for chain in news]
    paths = [ancestors(chain, LENGTH) for chain in drawn]
    follow_ups = [
        (key_of(chain, LENGTH + number), entry(chain, LENGTH + number, paths[number]))
        for number, chain in enumerate(drawn)
    ]
    keys = [[key_of(chain, step) for step in range(LENGTH)] for chain in drawn]

    def write(number: int) -> None:
        store.write(dict([packed[number]]), TTL)

    def follow(number: int) -> None:
        store.write(dict([follow_ups[number]]), TTL)
        store.touch(paths[number], TTL)

    def chain(number: int, length: int) -> None:
        turns = run_without_loop(transcripts.chain(keys[number][length - 1], None))
        if turns is None or len(turns) != length:
            raise SystemExit(f"a conversation of {length} turns was not found")

    return {
        "write a turn": median(write),
        "the same, and touch 32 before it": median(follow),
        "read 1 turn, bytes only": median(lambda number: store.read(keys[number][:1])),
        "read 100 turns, bytes only": median(lambda number: store.read(keys[number])),
        "read a conversation of 10 turns": median(lambda number: chain(number, 10)),
        "read a conversation of 100 turns": median(lambda number: chain(number, LENGTH)),
    }


def run(name: str, turns: int) -> Result:
    """Fills one store and measures."""
    began = time.monotonic()
    fresh = itertools.count(10**9)

    def progress(done: int) -> None:
        seconds = time.monotonic() - began
        print(f"\r{NAMES[name]}: {done:,} of {turns:,} turns, {seconds:.0f} s   ", end="", file=sys.stderr, flush=True)

    grown = resident()
    with opened(name) as held:
        chains = max(turns // LENGTH, FEW // LENGTH)
        first, _ = fill(held.store, 0, FEW // LENGTH, progress)
        few = measure(held.store, range(FEW // LENGTH), fresh)
        rest, longest = fill(held.store, FEW // LENGTH, chains, progress)
        count = len(held.store) if isinstance(held.store, MemoryTurns) else chains * LENGTH
        stored, grown = held.stored() / count, resident() - grown
        # of a bounded store, conversations that are still there
        reachable = range(max(chains - count // LENGTH // 4, 0), chains) if name == "bounded" else range(chains)
        everything = measure(held.store, reachable, fresh)
    print(file=sys.stderr)
    return Result(count, (first + rest) / (chains * LENGTH), stored, grown, longest, few, everything)


def show(name: str, result: Result, turns: int) -> None:
    print(f"\n{NAMES[name]}: {result.held:,} turns held, of {result.written:,.0f} bytes each as written")
    print(f"  {result.stored:,.0f} bytes a turn in the store; this process grew by {result.grown / MEBI:,.0f} MiB")
    print(f"  longest write of {WIDTH} turns at once: {result.longest * 1e3:,.1f} ms")
    print(f"  {'microseconds':36s} {f'{FEW:,} turns':>14s} {f'{turns:,} turns':>18s} {'ratio':>7s}")
    for what, few in result.few.items():
        after = result.all[what]
        print(f"  {what:36s} {few * 1e6:14,.0f} {after * 1e6:18,.0f} {after / few:7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--stores", nargs="*", default=list(USUAL), choices=STORES)
    parser.add_argument("--one", choices=STORES, help="measure one store in this process, and print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(run(options.one, options.turns))))
        return
    for name in options.stores:
        command = [sys.executable, "-m", "benchmarks.transcripts", "--one", name, "--turns", str(options.turns)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        show(name, Result(**json.loads(done.stdout)), options.turns)


if __name__ == "__main__":
    main()
