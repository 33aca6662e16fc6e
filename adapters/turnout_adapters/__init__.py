"""Speaks to providers: pure functions between Responses objects and bytes. Knows nothing of routing."""
