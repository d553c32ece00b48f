"""Starts the agent of this machine. Neighbours: `service`, which calls this module; `jeroboam.agent`."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.protocol import AgentConnection
from jeroboam.runtimes.base import Runtime
from jeroboam.storage.base import Storage


def start_agent(
    context: ProcessContext,
    *,
    runtime: Runtime,
    storage: Storage | None,
    journal_file: Path,
    open_session: Callable[[], Awaitable[AgentConnection]],
) -> None:
    """Start the agent. Raises `ValueError` for a journal that cannot be used."""
    agent = Agent(
        runtime=runtime,
        storage=storage,
        journal=_open_journal(journal_file),
        clock=context.clock,
        hostname=context.settings.host,
        open_session=open_session,
        execute_limit=context.settings.containers.execute_seconds,
        image_days=context.settings.containers.image_days,
    )
    context.tasks.start("agent", agent.run())


def _open_journal(path: Path) -> Journal:
    try:
        return Journal(path)
    except sqlite3.Error as error:
        raise ValueError(f"{path}: the agent's journal cannot be used: {error}") from error
