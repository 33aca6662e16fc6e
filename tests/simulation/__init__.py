"""Deterministic simulation: random worlds under one seed, with every invariant of the Router checked at every step.

python -m tests.simulation 4711 --trace         # replays one seed, with what happened
python -m tests.simulation --from 0 --count 1000
"""
