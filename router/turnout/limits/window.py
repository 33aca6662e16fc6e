"""A sliding window made of buckets: what was used when, in bounded memory whatever the period."""

BUCKETS = 60
"""Into how many parts a period is cut."""
_CLOCK_ERROR = 0.001
"""Milliseconds by which a sum of floats may fall short of the moment it stands for."""


def milliseconds(seconds: float) -> int:
    """A time in whole milliseconds, which is how finely windows look at it."""
    return int(seconds * 1000 + _CLOCK_ERROR)


def width_of(period: float) -> int:
    """Milliseconds of one bucket of a period in seconds."""
    return max(1, -(-milliseconds(period) // BUCKETS))


class Window:
    """What was used in the last `BUCKETS` buckets and the one that is being filled.

    The oldest bucket counts whole although part of it lies further back than the period, so no stretch of one period
    ever holds more than `limit`. The price is a 60th of the limit, on average half of that.
    """

    __slots__ = ("buckets", "limit", "used", "width")

    def __init__(self, limit: int, width: int) -> None:
        self.limit = limit
        self.width = width
        self.used = 0
        self.buckets: dict[int, int] = {}
        """By number of the bucket (time divided by width), oldest first."""

    def index(self, now: float) -> int:
        """The bucket of a time in seconds."""
        return int(now * 1000 + _CLOCK_ERROR) // self.width

    def expire(self, index: int) -> None:
        """Forgets the buckets that are out of the window when `index` is the current one."""
        while self.buckets:
            oldest = next(iter(self.buckets))
            if oldest >= index - BUCKETS:
                return
            self.used -= self.buckets.pop(oldest)

    def add(self, index: int, amount: int) -> None:
        """Counts an amount, negative to take one back, in a bucket that may be an older one."""
        known = self.buckets.get(index)
        if known is not None:
            self.buckets[index] = known + amount
        else:
            late = index < self._newest(index)
            self.buckets[index] = amount
            if late:
                self.buckets = dict(sorted(self.buckets.items()))
        self.used += amount

    def room_at(self, amount: int, now: float, limit: int | None = None) -> float:
        """When `amount` more fits, within `limit` if it is given: `now` if it does already.

        An amount above the whole limit fits an empty window.
        """
        limit = self.limit if limit is None else limit
        if self.used + amount <= limit:
            return now
        self.expire(self.index(now))
        over = self.used + min(amount, limit) - limit
        if over <= 0:
            return now
        for index, used in self.buckets.items():
            over -= used
            if over <= 0:
                return max(now, (index + BUCKETS + 1) * self.width / 1000)
        return now + (BUCKETS + 1) * self.width / 1000

    def take(self, amount: int, now: float) -> int:
        """Counts an amount now, and returns its bucket so that it can be corrected."""
        index = self.index(now)
        newest = self._newest(-1)
        if newest < index:
            self.expire(index)
            self.buckets[index] = amount
        else:
            index = newest  # threads read the clock before they get here
            self.buckets[index] += amount
        self.used += amount
        return index

    def clear(self) -> None:
        """Forgets everything."""
        self.buckets.clear()
        self.used = 0

    def correct(self, index: int, change: int) -> None:
        """Changes what was counted in a bucket, unless it has left the window."""
        if index in self.buckets:
            self.add(index, change)

    def _newest(self, default: int) -> int:
        return next(reversed(self.buckets), default)
