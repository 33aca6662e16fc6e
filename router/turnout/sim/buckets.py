"""The provider's own limits: token buckets for requests and tokens per minute, and what headers say of them. Pure."""

from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(slots=True)
class Bucket:
    """Holds up to `burst` seconds' worth of a limit per minute, and is refilled evenly."""

    per_minute: float
    burst: float = _MINUTE
    level: float = -1.0
    """What is left; the bucket begins full."""
    updated: float = 0.0

    def refill(self, now: float) -> None:
        """Brings the level up to date."""
        size = self.per_minute / _MINUTE * self.burst
        if self.level < 0:
            self.level = size
        else:
            self.level = min(size, self.level + (now - self.updated) * self.per_minute / _MINUTE)
        self.updated = now

    def lacks(self, amount: float) -> float:
        """Seconds until so much is there; 0 if it is. Of more than the bucket holds: until it is full."""
        wanted = min(amount, self.per_minute / _MINUTE * self.burst)
        return 0.0 if self.level >= wanted else (wanted - self.level) * _MINUTE / self.per_minute

    def take(self, amount: float) -> None:
        """Takes it."""
        self.level = max(self.level - amount, 0.0)

    @property
    def until_full(self) -> float:
        """Seconds until nothing is missing."""
        return max(self.per_minute / _MINUTE * self.burst - self.level, 0.0) * _MINUTE / self.per_minute


def headers_of(name: str, bucket: Bucket) -> dict[str, str]:
    """OpenAI's and Azure's `x-ratelimit-*` headers of a limit: `requests` or `tokens`."""
    return {
        f"x-ratelimit-limit-{name}": str(int(bucket.per_minute)),
        f"x-ratelimit-remaining-{name}": str(int(bucket.level)),
        f"x-ratelimit-reset-{name}": f"{bucket.until_full:.3f}s",
    }
