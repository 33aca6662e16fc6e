"""Limits over sliding windows: requests, tokens and money, in one process and lent out across a fleet. Pure."""
