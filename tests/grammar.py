"""The grammar of response streams is the conformance kit's; here are the streams that break it."""

from typing import Any

from turnout.testing.grammar import TERMINAL, Ungrammatical
from turnout.testing.grammar import check_grammar as check

Json = dict[str, Any]
__all__ = ["TERMINAL", "Ungrammatical", "check", "mutants"]


def mutants(events: list[Json]) -> list[list[Json]]:
    """The stream with one event dropped, or two neighbours swapped, renumbered so that only the grammar can tell."""
    found = []
    for index in range(len(events)):
        found.append(events[:index] + events[index + 1 :])
        if index + 1 < len(events) and events[index] != events[index + 1]:
            found.append([*events[:index], events[index + 1], events[index], *events[index + 2 :]])
    return [[{**event, "sequence_number": number} for number, event in enumerate(stream)] for stream in found]
