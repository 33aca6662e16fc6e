"""A store that may fail without failing a call."""

import logging

from turnout.protocols import Store


class GuardedStore:
    """Passes on to a store of the user's; what that raises is logged, once per change of state, and otherwise ignored.

    What a store remembers is a supplement: the id itself says which account a response belongs to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failing = False

    def get(self, key: str) -> str | None:
        """The value; None also if the store fails."""
        try:
            value = self._store.get(key)
        except Exception as error:  # noqa: BLE001 (a user's store may raise anything)
            self._failed(error)
            return None
        self._failing = False
        return value

    def set(self, key: str, value: str, ttl: float) -> None:
        """Keeps the value if the store can."""
        try:
            self._store.set(key, value, ttl)
        except Exception as error:  # noqa: BLE001 (a user's store may raise anything)
            self._failed(error)
        else:
            self._failing = False

    def delete(self, key: str) -> None:
        """Forgets the key if the store can."""
        try:
            self._store.delete(key)
        except Exception as error:  # noqa: BLE001 (a user's store may raise anything)
            self._failed(error)
        else:
            self._failing = False

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            logging.getLogger("turnout").warning("the store fails (%s); calls go on without it", type(error).__name__)
