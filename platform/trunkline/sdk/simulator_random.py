"""Chance that comes out the same each time, for a simulator's data."""

import random


def repeatable(of: str) -> random.Random:
    """The same sequence for the same words. Never for secrets: it can be foretold."""
    return random.Random(of)  # noqa: S311 - repeatable data is what it is for
