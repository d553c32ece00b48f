"""What the API asks of the conductor: an answer in time, or a 503 that says what did not answer."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.conductor.clusters.certificates import CertificateSigner
from jeroboam.conductor.gateway import ConductorGateway
from jeroboam.domain.errors import Invalid, NotFound, Unavailable
from tests import builders
from tests.clock import settle
from tests.ports import caller


class SlowServer:
    """Users' servers that never answer."""

    async def fetch(self, url, *, max_octets):
        await asyncio.Event().wait()


@pytest.fixture
def gateway(rig):
    coes = {"fake": FakeCoe(clock=rig.clock)}
    connector = ClusterConnector(store=rig.store, coes=coes, sealer=rig.sealer)
    return ConductorGateway(
        admission=DriverAdmission(providers={"fake": rig.provider}, coes=coes, default_provider="fake"),
        bays=BayQueries(connector=connector, clock=rig.clock, execute_seconds=5),
        manifests=SlowServer(),
        signer=CertificateSigner(store=rig.store, sealer=rig.sealer, clock=rig.clock, days=7),
        clock=rig.clock,
        answer_seconds=10,
        execute_seconds=5,
    )


async def outcome(rig, question, seconds: float):
    """What becomes of a question in that time."""
    asked = asyncio.ensure_future(question)
    await settle()
    await rig.clock.advance(seconds)
    return await asyncio.wait_for(asked, 10)


async def test_an_answer_is_passed_on(gateway):
    spec = await gateway.admit_template(builders.template().spec, caller())
    assert spec.cluster_distro == "jeroboam"
    with pytest.raises(Invalid, match="Unable to find image nope"):
        await gateway.admit_template(replace(spec, image_id="nope"), caller())


async def test_a_server_that_hangs_costs_a_request_no_more_than_the_deadline(gateway, rig):
    with pytest.raises(Unavailable, match="within 10 seconds: it waits for the server of the manifest"):
        await outcome(rig, gateway.fetch_manifest("http://x", max_octets=1), 10)


async def test_a_driver_that_hangs_is_named(gateway, rig):
    rig.provider.faults.hold("image")
    template = builders.template()
    with pytest.raises(Unavailable, match="it waits for driver fake"):
        await outcome(rig, gateway.admit_template(template.spec, caller()), 10)


async def test_an_authority_signs_and_its_key_stays_with_the_conductor(gateway, rig):
    cluster = await rig.create()
    await rig.settled(cluster.uuid)
    with pytest.raises(Invalid, match="csr"):
        await gateway.sign_csr(cluster.uuid, "main", "nonsense")
    with pytest.raises(NotFound, match="has no etcd certificate authority"):
        await gateway.sign_csr(cluster.uuid, "etcd", "nonsense")
