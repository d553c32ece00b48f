"""Passwords of proxies: sealed in the database, plain for whoever has the key file, masked for other projects."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from jeroboam.domain.clusters import TemplateSpec
from jeroboam.kit.clock import SystemClock
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.store import BrokenRow, Page, Store, tables
from jeroboam.store.sealing import SealedJson
from jeroboam.store.tables import UnreadableValue
from tests import builders

pytestmark = pytest.mark.security

URL = 'http://user:secretpw%22"\\@proxy.example:3128'


def spec() -> TemplateSpec:
    return TemplateSpec(coe="swarm", image_id="node", http_proxy=URL, https_proxy=URL, no_proxy="10.0.0.0/8")


async def rows_of(store: Store, table: sa.Table) -> str:
    async with store.engine.connect() as connection:
        # As text, past what opens it.
        query = sa.select(sa.cast(table.c.spec, sa.Text))
        return "\n".join((await connection.execute(query)).scalars())


async def test_no_password_of_a_proxy_lies_plain_in_the_database(store, store_url, bus, tmp_path):
    sealed = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "key"))
    template = builders.template(spec=spec())
    cluster = builders.cluster(template)
    cluster = replace(cluster, spec=replace(cluster.spec, template=template.spec))
    try:
        async with sealed.write() as tx:
            await tx.templates.insert(template)
            await tx.clusters.insert(cluster)
        async with sealed.read() as tx:
            assert await tx.templates.get(template.uuid) == template
            assert await tx.clusters.get(cluster.uuid) == cluster
            assert await tx.templates.select({"image_id": "node"}) == [template]
        for table in (tables.template, tables.cluster):
            text = await rows_of(sealed, table)
            assert "secretpw" not in text
            assert "10.0.0.0/8" in text
    finally:
        await sealed.close()
    # A command that only looks needs no key.
    async with store.read() as tx:
        assert (await tx.templates.get(template.uuid)).spec.http_proxy.startswith("sealed:")


async def test_what_was_written_before_is_read(store, store_url, bus, tmp_path):
    template = builders.template(spec=spec())
    async with store.write() as tx:
        await tx.templates.insert(template)
    sealed = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "key"))
    try:
        async with sealed.read() as tx:
            assert await tx.templates.get(template.uuid) == template
    finally:
        await sealed.close()


async def test_what_no_key_opens_is_one_broken_row_among_others(store, store_url, bus, tmp_path):
    sealed, plain = builders.template(spec=spec()), builders.template()
    writer = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "one"))
    reader = Store(store_url, clock=SystemClock(), bus=bus, sealer=KeyFileSealer(tmp_path / "two"))
    try:
        async with writer.write() as tx:
            await tx.templates.insert(sealed)
            await tx.templates.insert(plain)
        with capture_logs() as logs:
            async with reader.read() as tx:
                assert await tx.templates.select() == [plain]
                assert await tx.templates.list_visible(Page(limit=10), None, with_hidden=True) == [plain]
                with pytest.raises(BrokenRow, match=sealed.uuid):
                    await tx.templates.get(sealed.uuid)
        assert dict(reader.broken.count_by_table()) == {"cluster_template": 1}
        assert ["key that is not in the key file" in line["error"] for line in logs] == [True]
    finally:
        await writer.close()
        await reader.close()


def test_another_key_opens_nothing(tmp_path):
    text = SealedJson(KeyFileSealer(tmp_path / "one")).encode(spec())
    assert json.loads(text)["http_proxy"].startswith("sealed:")
    opened = SealedJson(KeyFileSealer(tmp_path / "two")).decode(text)
    assert isinstance(opened, UnreadableValue)
    assert "key" in opened.text


@pytest.mark.parametrize("text", ["sealed:x", "sealed:AQ==", "sealed:" + "A" * 64])
def test_what_only_looks_sealed_is_opened_by_no_key(tmp_path, text):
    assert isinstance(SealedJson(KeyFileSealer(tmp_path / "one")).decode(f'{{"http_proxy":"{text}"}}'), UnreadableValue)
