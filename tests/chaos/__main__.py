"""Runs the chaos for so many seconds, and says what was wrong at the end of it.

    python -m tests.chaos [--seconds 40] [--seed 1] [--slow]

Exit 0: no hang, no error without a type, nothing in flight, sockets and memory back. A hang ends it with the stacks of
all threads.
"""

import argparse
import faulthandler
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.chaos.actors import Stage, acting, collector, event_loops, forks, membership, row, sync_calls
from turnout import Router

GRACE = 60.0
"""Seconds after its time in which everything has to come to its end."""
MOST_GROWTH = 40_000
"""KiB of memory between the first third and the end."""
MOST_SOCKETS = 8
ACTORS = [(sync_calls, 3), (event_loops, 2), (membership, 1), (collector, 1), (forks, 1)]


@contextmanager
def upstream(seed: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.chaos.upstream", str(seed)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


def memory() -> int:
    """KiB in use now, garbage aside."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def files() -> list[str]:
    """What this process has open."""
    found: list[str] = []
    for one in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{one}"))
    return found


def play(stage: Stage, seconds: float) -> int:
    """Lets everybody act; how much memory grew after the first third."""
    threads = [acting(stage, step, number) for step, count in ACTORS for number in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 3)
    before = memory()
    for second in range(round(seconds * 2 / 3)):
        time.sleep(1)
        if second % 10 == 0:
            print(f"{dict(stage.counts)}, faults: {len(stage.faults)}", file=sys.stderr, flush=True)
    stage.over.set()
    for thread in threads:
        thread.join()
    gc.set_threshold(700, 10, 10)
    return memory() - before


def wrongs(stage: Stage, grown: int, opened: int) -> list[str]:
    """What is left behind."""
    found = list(stage.faults)
    deadline = time.monotonic() + 10
    gc.collect()
    while any(one.in_flight for one in stage.router.status()) and time.monotonic() < deadline:
        time.sleep(0.1)
        gc.collect()
    if held := {one.id: one.in_flight for one in stage.router.status() if one.in_flight}:
        found.append(f"still in flight: {held}")
    stage.router.close()
    gc.collect()
    if len(left := files()) > opened + MOST_SOCKETS:
        found.append(f"{len(left)} files open, {opened} before: {left}")
    if grown > MOST_GROWTH:
        found.append(f"memory grew by {grown} KiB")
    missing = [name for name in ("answers", "async answers", "streams", "children") if not stage.counts[name]]
    return found + [f"no {name} at all: the run shows nothing" for name in missing]


def _told(what: Any) -> str:
    return f"unraisable in {what.object!r}: {what.exc_value!r}"


def _is_httpcores(what: Any) -> bool:
    """An event loop that ends closes httpcore2's generators, one inside the other, both at once; they complain."""
    return "ByteStream.__aiter__" in repr(what.object) and "already" in repr(what.exc_value)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slow", action="store_true", help="async calls without aiohttp")
    given = parser.parse_args()
    faulthandler.enable()
    faulthandler.dump_traceback_later(given.seconds + GRACE, exit=True)
    faults: list[str] = []
    sys.unraisablehook = lambda what: (
        None if _is_httpcores(what) else faults.append(f"{what.object!r}: {what.exc_value!r}")
    )
    threading.excepthook = lambda what: faults.append(f"in {what.thread}: {what.exc_value!r}")
    with upstream(given.seed) as url:
        opened = len(files())
        rows = [row(url, number) for number in range(6)]
        stage = Stage(Router(rows, id_secret="x" * 32, cooldown_time=0.2, max_wait=1), url, given.seed)
        stage.router._looping._fast &= not given.slow  # type: ignore[attr-defined]
        grown = play(stage, given.seconds)
        found = wrongs(stage, grown, opened) + faults
    print(f"{dict(stage.counts)}; memory {grown:+} KiB")
    for one in found[:20]:
        print(f"--- {one}")
    print(f"{len(found)} things wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
