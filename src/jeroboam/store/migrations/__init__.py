"""The database's versions. `upgrade` brings any older one, or an empty database, to the newest."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

HERE = Path(__file__).parent


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    return config


class UnknownVersion(Exception):
    """The database has a version that this program does not know: a later program has worked on it."""

    def __init__(self, version: str) -> None:
        super().__init__(f"the database has version {version}, and this program knows none later than {newest()}")
        self.version = version


def _list_versions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def newest() -> str:
    """The version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def current(engine: AsyncEngine) -> str | None:
    """The version that the database has; None for an empty one."""

    def look(connection: sa.Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with engine.connect() as connection:
        return await connection.run_sync(look)


async def upgrade(engine: AsyncEngine, *, to: str = "head") -> None:
    """Bring the database to the newest version, or to that one, in one transaction where the engine can.

    Raises `UnknownVersion` for a database of a later program.
    """

    def run(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)

    version = await current(engine)
    if version == newest():
        return
    if version is not None and version not in _list_versions():
        raise UnknownVersion(version)
    async with engine.begin() as connection:
        await connection.run_sync(run)
