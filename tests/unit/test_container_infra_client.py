"""What the command line asks a container-infra API as its user, and how refusals and silence are told."""

import re
from types import SimpleNamespace

import pytest
from keystoneauth1.exceptions import ConnectFailure, ConnectTimeout, SSLError, Unauthorized

from jeroboam.bootstrap.own_clusters import check, kubeconfig
from jeroboam.clients.container_infra import ContainerInfraClient, log_in
from jeroboam.clients.openstack import OpenStackApi, call_in_thread
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca, sign_csr
from jeroboam.settings import load

NOW = SystemClock().now()
CA = make_ca(common_name="demo", now=NOW)
SHOWN = {
    "uuid": "u-1",
    "name": "demo",
    "cluster_template_id": "t-1",
    "status": "CREATE_COMPLETE",
    "api_address": "https://192.0.2.1:6443",
    "coe_version": "v1.36.3",
}


class Server:
    """Answers as the API does; a number in place of an answer is a status."""

    def __init__(self, **answers: object) -> None:
        self.answers: dict[str, object] = {
            "/clusters/demo": SHOWN,
            "/clustertemplates/t-1": {"coe": "kubernetes"},
            "/certificates/u-1": {"pem": CA.pem},
            **answers,
        }

    def request(self, url: str, method: str, *, raise_exc: bool, headers: dict, json: dict | None = None):
        assert not raise_exc
        assert headers["OpenStack-API-Version"] == "container-infra latest"
        if method == "GET":
            return self._answer(self.answers.get(url, 404))
        assert (method, url, json["cluster_uuid"]) == ("POST", "/certificates", "u-1")
        return self._answer(self.answers.get(url) or {"pem": sign_csr(ca=CA, csr=json["csr"], now=NOW)})

    def _answer(self, said: object) -> SimpleNamespace:
        if isinstance(said, int):
            return SimpleNamespace(status_code=said, json=lambda: {"errors": [{"detail": f"it says {said}"}]})
        return SimpleNamespace(status_code=200, content=b"{}", json=lambda: said)


def client_of(server: Server) -> ContainerInfraClient:
    return ContainerInfraClient(OpenStackApi(server, service="container-infra"))


async def test_a_cluster_is_found_and_access_to_it_is_asked_for():
    infra = client_of(Server())
    cluster = await infra.cluster("demo")
    assert (cluster.uuid, cluster.coe, cluster.coe_version) == ("u-1", "kubernetes", "v1.36.3")
    access = await infra.access(cluster)
    assert access.ca_certificates == CA.pem
    assert "BEGIN CERTIFICATE" in access.own.pem
    assert "PRIVATE" not in repr(access)
    config = kubeconfig(cluster, access)
    assert config["clusters"][0]["cluster"]["server"] == "https://192.0.2.1:6443"


@pytest.mark.parametrize(
    ("answers", "kind", "text"),
    [
        ({"/clusters/demo": 404}, Permanent, "looking for cluster demo: it says 404"),
        ({"/certificates": 403}, Permanent, "asking for access to cluster demo: it says 403"),
        ({"/certificates/u-1": 503}, Temporary, "asking for access to cluster demo: it says 503"),
        ({"/clusters/demo": SHOWN | {"api_address": None, "status": "CREATE_IN_PROGRESS"}}, Permanent, "no API yet"),
    ],
)
async def test_what_is_refused_is_told(answers, kind, text):
    infra = client_of(Server(**answers))
    with pytest.raises(kind, match=text):
        await infra.access(await infra.cluster("demo"))


async def test_who_one_is_has_to_be_said(tmp_path, monkeypatch):
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = load(None, state=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"there is no installation in .*, and neither OS_CLOUD nor OS_AUTH_URL is set"
    ):
        await check(settings, "demo", None, only=(), image="busybox", seconds=1)
    with pytest.raises(ValueError, match="there is no check nonsense"):
        await check(settings, "demo", None, only=("nonsense",), image="busybox", seconds=1)
    (tmp_path / "clouds.yaml").write_text(
        "clouds: {jeroboam: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: demo, password: x, "
        "project_name: demo, user_domain_name: Default, project_domain_name: Default}}}"
    )
    with pytest.raises(Temporary, match=r"^service: down: nothing answers at http://127.0.0.1:9$"):
        await check(settings, "demo", None, only=(), image="busybox", seconds=1)


async def test_a_cloud_that_there_is_not_is_told(tmp_path):
    (tmp_path / "clouds.yaml").write_text("clouds: {}")
    with pytest.raises(Temporary, match="logging in: Cloud jeroboam was not found"):
        await log_in(clouds=tmp_path / "clouds.yaml")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ConnectFailure("Unable to establish connection to http://192.0.2.1:5000/v3: HTTPConnectionPool(host=x)"),
            "service: down: nothing answers at http://192.0.2.1:5000",
        ),
        (
            ConnectTimeout("Request to https://c.example/v3 timed out"),
            "service: down: nothing answers at https://c.example",
        ),
        (
            SSLError("SSL exception connecting to https://c.example/v3: bad"),
            "asking: SSL exception connecting to https://c.example/v3: bad",
        ),
        (
            Unauthorized("The request requires authentication."),
            "asking: The request requires authentication. (HTTP 401)",
        ),
        (Exception("password is a required attribute"), "asking: password is a required attribute"),
    ],
)
async def test_silence_is_told_apart_from_other_troubles(error, reason):
    def ask():
        raise error

    with pytest.raises(Temporary, match=f"^{re.escape(reason)}$"):
        await call_in_thread(ask, "asking")


async def test_an_error_of_ours_stays_one():
    def ask():
        raise KeyError("x")

    with pytest.raises(KeyError):
        await call_in_thread(ask, "asking")
