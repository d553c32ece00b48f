"""Users of a Kubernetes cluster who come with tokens of somebody else's: what its API server is told of the issuer."""

import base64
import json
from dataclasses import replace

import pytest

from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.domain.errors import Invalid
from jeroboam.kit.x509 import make_ca
from tests.unit.test_kubernetes_options import CLOCK, SPEC, arguments, laid_for, plan

CA = make_ca(common_name="somebody", now=CLOCK.now())
KEY = CA.key.decode()
ISSUER = {"oidc_issuer_url": "https://id.example", "oidc_client_id": "kube"}


@pytest.fixture
def coe():
    return KubernetesCoe(clock=CLOCK)


@pytest.mark.parametrize(
    ("labels", "username", "groups"),
    [
        ({}, {"claim": "sub", "prefix": "https://id.example#"}, None),
        ({"oidc_username_claim": "email"}, {"claim": "email", "prefix": ""}, None),
        ({"oidc_username_prefix": "-"}, {"claim": "sub", "prefix": ""}, None),
        (
            {"oidc_username_prefix": "u:", "oidc_groups_claim": "roles", "oidc_groups_prefix": "g:"},
            {"claim": "sub", "prefix": "u:"},
            {"claim": "roles", "prefix": "g:"},
        ),
    ],
)
def test_tokens_of_an_issuer(coe, labels, username, groups):
    laid = laid_for(coe, oidc_issuer_url="https://id.example", oidc_client_id="kube", **labels)
    [jwt] = json.loads(laid["/etc/kubernetes/security/authentication.yaml"])["jwt"]
    assert jwt["issuer"] == {"url": "https://id.example", "audiences": ["kube"]}
    assert (jwt["claimMappings"]["username"], jwt["claimMappings"].get("groups")) == (username, groups)


@pytest.mark.parametrize(
    ("balancer", "address"), [(None, "https://10.9.0.2:6443"), ("10.9.0.9", "https://10.9.0.9:6443")]
)
def test_the_issuer_of_service_accounts_is_where_the_api_answers(coe, balancer, address):
    made = replace(plan(coe), balancer=balancer)
    laid = {file.path: file.content.decode() for file in coe.build_script(made, made.members[0]).files}
    given = arguments(laid, "apiServer")
    # The first is what new tokens say; those of earlier releases are accepted.
    former = "https://kubernetes.default.svc.cluster.local"
    issuers = [value for name, value in given if name == "service-account-issuer"]
    assert issuers == [address, f"{former}/clusters/c", former]
    assert ("service-account-jwks-uri", f"{address}/openid/v1/jwks") in given


@pytest.mark.parametrize("said", [CA.pem, base64.b64encode(CA.pem.encode()).decode(), CA.pem * 2], ids=range(3))
def test_who_vouches_for_an_issuer(coe, said):
    coe.check(replace(SPEC, labels=ISSUER | {"oidc_ca": said}))
    [jwt] = json.loads(laid_for(coe, **ISSUER, oidc_ca=said)["/etc/kubernetes/security/authentication.yaml"])["jwt"]
    assert jwt["issuer"]["certificateAuthority"] in {CA.pem, CA.pem * 2}


@pytest.mark.parametrize("said", ["", "somebody", "AAAA", "/8z+", CA.pem[:200], KEY, CA.pem + KEY], ids=range(7))
def test_who_cannot_vouch_for_an_issuer(coe, said):
    with pytest.raises(Invalid, match="certificates in PEM") as refused:
        coe.check(replace(SPEC, labels=ISSUER | {"oidc_ca": said}))
    assert refused.value.field == "labels/oidc_ca"
    assert KEY[40:60] not in str(refused.value)
