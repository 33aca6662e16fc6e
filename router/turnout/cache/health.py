"""Whether a remote store can be reached: said in the log once per change."""

import logging

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Health:
    """The state of one store as one group of threads sees it.

    `what` names the store in the log ("transcripts"), `without` says how calls go on while it is down.
    """

    def __init__(self, what: str, without: str) -> None:
        self.down = False
        self._what = what
        self._without = without
        self._pause = _FIRST_PAUSE

    def failed(self, error: BaseException) -> None:
        """It cannot be reached. Only the error's type is logged: its text may tell addresses and user names."""
        if not self.down:
            self.down = True
            logging.getLogger("turnout").warning(
                "%s: the store cannot be reached (%s); %s", self._what, type(error).__name__, self._without
            )

    def worked(self) -> None:
        """It answered a probe."""
        if self.down:
            self.down = False
            logging.getLogger("turnout").warning("%s: the store is back", self._what)

    def next_pause(self) -> float:
        """Seconds until the next probe: 0.1, doubling up to 2, until `settle`."""
        pause = self._pause
        self._pause = min(pause * 2, _LONGEST_PAUSE)
        return pause

    def settle(self) -> None:
        """Real work succeeded: the next failure is a new one, and is probed quickly again."""
        self._pause = _FIRST_PAUSE
