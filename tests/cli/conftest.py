"""A service on fakes, and somebody who types commands at it."""

import contextlib
import shutil

import pytest
import structlog

from tests.cli.rig import Typist, running, seed_templates


@pytest.fixture
def service_log(tmp_path):
    """The service's log in a file: what the commands print is looked at."""
    before = structlog.get_config()
    with (tmp_path / "service.log").open("w") as file:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(file))
        yield
    structlog.configure(**before)


@pytest.fixture
async def bare_service(tmp_path, empty_database, service_log):
    """A service with no template."""
    async with running(tmp_path, shutil.copy(empty_database, tmp_path / "store.db")) as service:
        yield service


@pytest.fixture
async def service(bare_service):
    """A service with the templates of a new installation."""
    await seed_templates(bare_service.store)
    return bare_service


@pytest.fixture
async def cli(service):
    async with contextlib.aclosing(Typist(service.environment())) as typist:
        yield typist
