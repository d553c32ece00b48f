"""Asking for another certificate authority, and what is handed out while one takes the place of another."""

from dataclasses import replace

import pytest
from cryptography import x509

from jeroboam.conductor.clusters.sealed_keys import make_certificate
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY
from jeroboam.domain.states import project_cluster
from tests.api.loops import csr, settle
from tests.ports import PlainSealer

CA = "/v1/certificates/c"


@pytest.fixture
async def ready(make, store):
    uuid = await make.cluster()
    await settle(store, uuid)
    return uuid


async def beside(store, uuid, kind) -> str:
    """A second authority, as the loop would store it."""
    async with store.write() as tx:
        made = make_certificate(PlainSealer(), cluster_id=uuid, kind=kind, common_name="another", now=tx.now)
        await tx.certificates.insert(made)
    return made.pem


async def test_it_is_a_wish_and_asking_twice_is_asking_once(infra, store, ready):
    for _ in range(2):
        answer = await infra.patch(CA)
        assert (answer.status, answer.json()) == (202, {"uuid": ready})
    async with store.read() as tx:
        cluster = await tx.clusters.get(ready)
    assert (cluster.status, cluster.generation, cluster.spec.ca_generation) == ("UPDATE_IN_PROGRESS", 2, 1)


async def test_one_that_failed_is_asked_for_again_and_a_done_one_anew(infra, store, ready):
    await infra.patch(CA)
    async with store.write() as tx:
        cluster = await tx.clusters.get(ready)
        failed = replace(cluster.observed, failure="no room", failed_generation=cluster.generation)
        await tx.clusters.update(project_cluster(replace(cluster, observed=failed)))
    assert (await infra.patch(CA)).status == 202
    async with store.write() as tx:
        cluster = await tx.clusters.get(ready)
        assert (cluster.generation, cluster.spec.ca_generation) == (3, 1)
        done = replace(cluster.observed, generation=3, ca_generation=1)
        await tx.clusters.update(replace(cluster, observed=done, status="UPDATE_COMPLETE"))
    assert (await infra.patch(CA)).status == 202
    async with store.read() as tx:
        assert (await tx.clusters.get(ready)).spec.ca_generation == 2


@pytest.mark.parametrize(
    ("kind", "shown", "signs"),
    [(NEXT, (MAIN, NEXT), MAIN), (READY, (READY, MAIN), READY), (FORMER, (MAIN, FORMER), MAIN)],
)
async def test_what_is_handed_out_meanwhile(infra, store, ready, kind, shown, signs):
    known = {MAIN: (await infra.get(CA)).json()["pem"], kind: await beside(store, ready, kind)}
    assert (await infra.get(CA)).json()["pem"] == "".join(known[each] for each in shown)
    signed = await infra.post("/v1/certificates", {"cluster_uuid": "c", "csr": csr()})
    leaf = x509.load_pem_x509_certificate(signed.json()["pem"].encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(known[signs].encode()))
    assert "sealed" not in signed.body.decode()


async def test_what_is_refused(infra, parts, make, store, ready):
    assert (await infra.patch("/v1/certificates/nothing")).status == 404
    assert (await infra.as_("reader").patch(CA)).status == 403
    assert (await infra.as_("stranger").patch(CA)).status == 404
    assert (await infra.patch(f"{CA}?bogus=1")).status == 400
    parts.conductor.refused = "rotation"
    assert (await infra.patch(CA)).status == 400
    parts.conductor.refused = None
    await make.cluster(name="young")
    assert (await infra.patch("/v1/certificates/young")).status == 409
    async with store.read() as tx:
        assert (await tx.clusters.get(ready)).generation == 1
    assert (await infra.as_("admin").patch(CA)).status == 202


async def test_a_cluster_without_tls_has_nothing_to_rotate(infra, make, store):
    uuid = await make.cluster(cluster_template_id=(await make.template(tls_disabled=True))["uuid"])
    await settle(store, uuid)
    answer = await infra.patch(CA)
    assert (answer.status, answer.error["detail"]) == (
        400,
        "Rotating the CA certificate on a non-TLS cluster is not supported",
    )
