"""Numbers, durations and times from outside: headers and bodies of answers, which may say anything at all.

Each reader returns None for what it cannot make sense of, and raises nothing whatever it is given. Digits are ASCII
digits, as in every format that these come from.
"""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LARGEST = 2**53 - 1
"""The largest whole number that every reader of JSON understands (RFC 8259, section 6); beyond it is nonsense."""

_LONGEST = 64
"""Characters; no number or date is longer."""
_WHOLE = re.compile(r"[0-9]{1,16}")
_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,30})?")
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,30})?)(d|h|ms|m|s|us|µs|μs|ns)")
_ORDER = list(_UNITS)
_ASCTIME = re.compile(r"[A-Za-z]{3} +[A-Za-z]{3} +[0-9]{1,2} +[0-9]{2}:[0-9]{2}:[0-9]{2} +[0-9]{4}")


def amount(value: object) -> float | None:
    """A number from 0 to `LARGEST`, given as a number or as its decimal text."""
    if isinstance(value, str):
        text = value.strip(" \t") if len(value) <= _LONGEST else ""
        found = float(text) if _NUMBER.fullmatch(text) else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # what is compared first may be too large to be a float
        found = float(value) if 0 <= value <= LARGEST else None
    else:
        return None
    return found if found is not None and math.isfinite(found) and found <= LARGEST else None


def is_count(value: object) -> bool:
    """True for a whole number from 0 to `LARGEST` that is given as one."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def count(value: object) -> int | None:
    """A whole number from 0 to `LARGEST`. A number with a fraction is cut; a text must be digits only."""
    if isinstance(value, str):
        text = value.strip(" \t") if len(value) <= _LONGEST else ""
        found = int(text) if _WHOLE.fullmatch(text) else None
        return found if found is not None and found <= LARGEST else None
    found = amount(value)
    return None if found is None else int(found)


def duration(value: object) -> float | None:
    """Seconds of "6m0s", "34.4s" or "120ms", the largest unit first; a bare number is seconds."""
    bare = amount(value)
    if bare is not None or not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        return bare
    parts = list(_PART.finditer(value.strip(" \t")))
    units = [_ORDER.index(one[2]) for one in parts]
    if not parts or "".join(one[0] for one in parts) != value.strip(" \t") or units != sorted(set(units)):
        return None
    return amount(sum(float(one[1]) * _UNITS[one[2]] for one in parts))


def moment(value: object) -> float | None:
    """Unix time of a date: the three forms of HTTP (RFC 9110, section 5.6.7), or RFC 3339."""
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= _LONGEST:
        return None
    text = value.strip(" \t")
    try:
        when = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        if when.tzinfo is None and _ASCTIME.fullmatch(text):
            when = when.replace(tzinfo=UTC)
        return None if when.tzinfo is None else when.timestamp()
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return None
