"""A server with room for so many requests at once; further ones wait their turn. Pure."""

from collections import deque
from collections.abc import Callable


class Place:
    """One request's place: waiting, working, or gone."""

    __slots__ = ("start", "working")

    def __init__(self, start: Callable[[], None]) -> None:
        self.start = start
        """Called once, when its turn comes."""
        self.working = False


class Slots:
    """First in, first out. `size` may be changed at any time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.working = 0
        self.waiting: deque[Place] = deque()

    def enter(self, start: Callable[[], None]) -> Place:
        """Takes a place; `start` is called at once if there is room."""
        place = Place(start)
        self.waiting.append(place)
        self._advance()
        return place

    def leave(self, place: Place) -> None:
        """Gives it up, done or not."""
        if place.working:
            place.working = False
            self.working -= 1
            self._advance()
        elif place in self.waiting:
            self.waiting.remove(place)

    def _advance(self) -> None:
        while self.waiting and self.working < self.size:
            place = self.waiting.popleft()
            place.working = True
            self.working += 1
            place.start()
