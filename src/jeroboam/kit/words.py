"""Texts for people. Neighbours: everything that counts something in a message."""


def format_count(count: float, noun: str) -> str:
    """Return the number with its noun: `1 node`, `2 nodes`."""
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"
