"""How a server becomes a node of a cluster: what a COE hands to a provider."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file to lay into a node before its commands run."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeScript:
    """How a server becomes a node: files, then commands in order, at every boot.

    Each command is an argument vector. The last one is the node's service and stays in the foreground.
    """

    files: tuple[File, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
