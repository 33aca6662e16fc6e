"""Sinks for the Router's events. None is attached unless asked for, and nothing is computed for an absent one."""
