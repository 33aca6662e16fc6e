"""Threads and locks do not survive a fork: who owns some is told in the child."""

import os
import weakref
from collections.abc import Callable


def in_forked_children(method: Callable[[], None]) -> None:
    """Calls a bound method in every child that this process forks, for as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def begin() -> None:
        owner = reference()
        if owner is not None:
            owner()

    if hasattr(os, "register_at_fork"):  # there is no fork on Windows
        os.register_at_fork(after_in_child=begin)
