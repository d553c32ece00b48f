"""What clients of Magnum send and meet: answers that cost nothing to give as it gives them, and clearer refusals."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from jeroboam.api.app import create_app
from tests.api.client import Client
from tests.api.conftest import signer_of
from tests.api.loops import csr, settle
from tests.builders import new_uuid
from tests.ports import FakeConductor


async def test_certificates_are_for_keys_that_protect_and_for_as_long_as_the_operator_says(parts, infra, make, store):
    await settle(store, await make.cluster())
    refused = await infra.post("/v1/certificates", {"cluster_uuid": "c", "csr": csr(ec.SECP192R1())})
    assert refused.status == 400
    assert "secp192r1, and a key has to be RSA of 2048 to 8192 bits" in refused.error["title"]
    conductor = FakeConductor(signer_of(store, days=2))
    client = Client(create_app(replace(parts, conductor=conductor)), "/container-infra")
    pem = (await client.post("/v1/certificates", {"cluster_uuid": "c", "csr": csr()})).json()["pem"]
    lasts = x509.load_pem_x509_certificate(pem.encode())
    assert lasts.not_valid_after_utc - lasts.not_valid_before_utc == dt.timedelta(days=3)


@pytest.mark.parametrize("key", ["node_count", "master_count", "labels", "stack_id", "health_status_reason"])
async def test_lists_are_sorted_by_what_they_show(infra, make, key):
    template = (await make.template())["uuid"]
    for name, count in (("b", 3), ("a", 1), ("c", 2)):
        await make.cluster(name=name, cluster_template_id=template, node_count=count, labels={"l": name})
    names, path = [], f"/v1/clusters?limit=1&sort_key={key}"
    while path:
        page = (await infra.get(path)).json()
        names += [cluster["name"] for cluster in page["clusters"]]
        path = page.get("next", "").removeprefix("http://cloud:9511/container-infra")
    order = {"node_count": list("acb"), "labels": list("abc"), "master_count": list("bac")}
    assert names == order.get(key, names)
    assert sorted(names) == list("abc")


async def test_what_clients_of_magnum_send_besides_is_no_fault(infra, make):
    template = (await make.template(labels={"a": "1"}))["uuid"]
    own = new_uuid()
    made = await infra.post("/v1/clusters", {"cluster_template_id": template, "labels": None, "uuid": own})
    assert made.status == 202
    assert made.json()["uuid"] != own
    assert (await infra.get(f"/v1/clusters/{made.json()['uuid']}")).json()["labels"] == {"a": "1"}


@pytest.mark.parametrize("name", ["a b", "1a", "_a", "a/b", "ä"])
async def test_the_refusal_of_a_name_states_the_rule_that_it_breaks(infra, make, name):
    template = (await make.template())["uuid"]
    refused = await infra.post("/v1/clusters", {"cluster_template_id": template, "name": name})
    assert (refused.status, refused.error["title"]) == (
        400,
        f"Invalid input for field 'name', value '{name}': it has to be letters, digits and _.- with a letter first",
    )
