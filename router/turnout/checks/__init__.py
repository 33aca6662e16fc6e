"""Pre-call checks: which deployments are unfit for a call. One file each."""

from turnout.checks.context_window import ContextWindow
from turnout.checks.region import AllowedRegion
from turnout.checks.tags import Tags

__all__ = ["AllowedRegion", "ContextWindow", "Tags"]
