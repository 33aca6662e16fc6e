"""A turn store against a model of it: random steps on both, and what differs then."""

from collections.abc import Callable, Sequence
from random import Random

from turnout.protocols import TurnStore
from turnout.testing.rules import need
from turnout.testing.stores import Opener

_STEPS = 40
_TOLD = 8
"""Steps that a failure shows."""
_VALUES: Sequence[bytes] = (b"", b"a", b"b", b"\xff\0" * 700)


class _Model:
    """A dict whose entries expire; the store that it is compared with; what was done to both."""

    def __init__(self, stores: Opener[TurnStore], keys: Sequence[str], rng: Random, waits: int) -> None:
        self.stores = stores
        self.store = stores.make()
        self.keys = keys
        self.rng = rng
        self.waits = waits
        self.timed = waits > 0
        self.now = 0.0
        self.kept: dict[str, tuple[bytes, float]] = {}
        self.told: list[str] = []

    def live(self, key: str) -> bytes | None:
        value, expires = self.kept.get(key, (None, 0.0))
        return value if expires > self.now else None

    def some(self) -> list[str]:
        return self.rng.choices(self.keys, k=self.rng.randrange(5))

    def names(self, keys: Sequence[str]) -> str:
        return ", ".join(f"k{self.keys.index(key)}" for key in keys)

    def ttl(self) -> float:
        return (
            self.rng.choice((self.stores.ttl, self.stores.ttl * 8, self.stores.long))
            if self.timed
            else self.stores.long
        )

    # --- the steps

    def write(self) -> None:
        entries, ttl = {key: self.rng.choice(_VALUES) for key in self.some()}, self.ttl()
        self.told.append(f"write {self.names(list(entries))} for {ttl:g} s")
        self.store.write(entries, ttl)
        self.kept |= {key: (value, self.now + ttl) for key, value in entries.items()}

    def touch(self) -> None:
        keys, ttl = self.some(), self.ttl()
        self.told.append(f"touch {self.names(keys)} for {ttl:g} s")
        self.store.touch(keys, ttl)
        self.kept |= {key: (value, self.now + ttl) for key in keys if (value := self.live(key)) is not None}

    def swap(self) -> None:
        key, ttl, new = self.rng.choice(self.keys), self.ttl(), self.rng.choice(_VALUES)
        old = self.rng.choice((self.live(key), self.live(key), None, *_VALUES))
        fits = self.live(key) == old
        self.told.append(f"swap {self.names([key])} for {ttl:g} s{'' if fits else ', which does not fit'}")
        need(self.store.swap(key, old, new, ttl) is fits, self.problem(f"swap does not say {fits}"))
        if fits:
            self.kept[key] = (new, self.now + ttl)

    def erase(self) -> None:
        keys = self.some()
        self.told.append(f"erase {self.names(keys)}")
        self.store.erase(keys)
        for key in keys:
            self.kept.pop(key, None)

    def close(self) -> None:
        self.told.append("close")
        self.store.close()

    def wait(self) -> None:
        if self.waits:
            self.waits -= 1
            seconds = self.stores.ttl * self.rng.choice((0.53, 1.57, 10.1))
            self.told.append(f"wait {seconds:g} s")
            self.stores.advance(seconds)
            self.now += seconds

    # --- the comparison

    def compare(self) -> None:
        expected = [self.live(key) for key in self.keys]
        found = self.store.read(self.keys)
        wrong = [key for key, one, other in zip(self.keys, found, expected, strict=True) if one != other]
        need(not wrong, self.problem(f"{self.names(wrong)} read wrongly"))

    def problem(self, text: str) -> str:
        """The last steps, and what was wrong after them."""
        return f"{text} after: {'; '.join(self.told[-_TOLD:])}"


def ends_as_a_dict_does(stores: Opener[TurnStore], keys: Sequence[str], rng: Random, waits: int) -> None:
    """Does the same random steps to a store and a dict. Raises AssertionError where they differ, with the last steps.

    Time passes up to `waits` times; with none, nothing expires either, so that a slow machine fails no store.
    """
    model = _Model(stores, keys, rng, waits)
    steps: Sequence[Callable[[], None]] = (
        model.write, model.write, model.touch, model.swap, model.swap, model.erase, model.close, model.wait,
    )  # fmt: skip
    for _ in range(_STEPS):
        rng.choice(steps)()
        model.compare()
