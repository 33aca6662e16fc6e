"""Stores: where small facts are kept for a while."""
