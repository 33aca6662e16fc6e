"""The kinds of failure, the vocabulary in which wires report and routing decides."""

from enum import Enum


class Kind(Enum):
    """What went wrong with an attempt. `engine/decide.py` has the one table that says what follows from it."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    """This provider cannot honour it; another may."""
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    DEPLOYMENT_NOT_FOUND = "deployment_not_found"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    INVALID_REPLY = "invalid_reply"
