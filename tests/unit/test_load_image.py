"""Which clusters a user's own image can be brought onto, before any node is asked."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from jeroboam.bootstrap.load import load_images
from jeroboam.bootstrap.state import StateFolder
from jeroboam.cli import app
from jeroboam.domain.errors import Permanent
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.settings import load
from jeroboam.store import Store
from jeroboam.store.migrations import upgrade
from tests import builders


@pytest.fixture
async def settings(tmp_path):
    """An installation with a cluster of each kind, and two of one name."""
    found = load(None, state=str(tmp_path / "state"))
    with StateFolder(found.state) as folder:
        folder.installation()
    store = Store(found.database_url, clock=SystemClock(), bus=MemoryBus())
    await upgrade(store.engine)
    template = builders.template()
    kinds = {"swarm": ("swarm", "local"), "cloudy": ("kubernetes", "heat"), "kube": ("kubernetes", "local")}
    async with store.write() as tx:
        await tx.templates.insert(template)
        for name in ("swarm", "cloudy", "kube", "twin", "twin"):
            coe, driver = kinds.get(name, ("kubernetes", "local"))
            of = replace(template, spec=replace(template.spec, coe=coe, driver=driver))
            await tx.clusters.insert(builders.cluster(of, name=name))
    await store.close()
    return found


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("nope", "there is no cluster nope"),
        ("twin", "there are several clusters twin; name one by its uuid"),
        ("swarm", "nodes of kubernetes on local only, and swarm is swarm on local"),
        ("cloudy", "nodes of kubernetes on local only, and cloudy is kubernetes on heat"),
    ],
)
async def test_a_cluster_that_takes_none_is_told_apart(settings, cluster, said):
    with pytest.raises(ValueError, match=said):
        await load_images(settings, cluster, ["busybox:latest"])


async def test_what_is_no_name_of_an_image_goes_nowhere(settings):
    with pytest.raises(Permanent, match="is not the name of an image"):
        await load_images(settings, "kube", ["busybox:latest", "../images"])


def test_without_an_installation_one_line_says_so(tmp_path):
    done = CliRunner().invoke(app, ["cluster", "load-image", "c", "i", "j", "--state", str(tmp_path)])
    assert done.exit_code == 1
    assert "there is no installation" in done.output.replace("\n", " ")
