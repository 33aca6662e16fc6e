"""What a bad id costs to refuse, compared with a good one to accept: it must tell nobody anything.

    python -m benchmarks.forged_ids [--rounds 2000]

Prints the median of each kind in microseconds, and how many times that of another tenant's good id, which is the
refusal that could tell most. An id that is too long is refused unread, whatever its length.
"""

import argparse
import statistics
import time
from contextlib import suppress

from turnout.continuity.ids import LONGEST_ID, IdCodec, domain_hash
from turnout.errors import NotFoundError

_MEGABYTE = 1 << 20


def kinds() -> dict[str, tuple[str, str]]:
    """Ids and the tenants that use them."""
    codec, domain = IdCodec(["a secret of the benchmark"]), domain_hash("an account")
    good = codec.wrap(f"resp_{'0123456789abcdef' * 3}", domain, "mine")
    other = IdCodec(["the secret of somebody else"]).wrap(f"resp_{'0123456789abcdef' * 3}", domain, "mine")
    return {
        "good": (good, "mine"),
        "another tenant's": (good, "yours"),
        "never existed": (codec.wrap(f"resp_{'f' * 48}", domain, "nobody"), "mine"),
        "one bit changed": (good[:60] + ("A" if good[60] != "A" else "B") + good[61:], "mine"),
        "an item's": (codec.wrap(f"resp_{'0123456789abcdef' * 3}", domain, "mine", "item"), "mine"),
        "another secret's": (other, "mine"),
        "cut short": (good[:40], "mine"),
        "a provider's own": (f"resp_{'0123456789abcdef' * 3}", "mine"),
        "as long as may be": ("resp_" + "A" * (LONGEST_ID - 5), "mine"),
        "1 MB": (good + "A" * _MEGABYTE, "mine"),
        "16 MB": (good + "A" * 16 * _MEGABYTE, "mine"),
    }


def seconds(codec: IdCodec, token: str, tenant: str) -> float:
    """Seconds that one look at an id takes."""
    started = time.perf_counter()
    with suppress(NotFoundError):
        codec.unwrap(token, tenant)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    codec, tried = IdCodec(["a secret of the benchmark"]), kinds()
    times: dict[str, list[float]] = {name: [] for name in tried}
    for _ in range(rounds):
        for name, (token, tenant) in tried.items():
            times[name].append(seconds(codec, token, tenant))
    typical = {name: statistics.median(taken) for name, taken in times.items()}
    refused = typical["another tenant's"]
    for name, taken in typical.items():
        print(f"{name:20}{taken * 1e6:8.2f} us {taken / refused:6.2f}")


if __name__ == "__main__":
    main()
