"""Images on the nodes of a Swarm: out of one Engine, over TLS into the others, as the cluster's user."""

import contextlib
import ssl
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from aiohttp import web

from jeroboam.bootstrap.load_swarm import load_on_swarm
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.clients.openstack import OpenStackApi
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import issue, make_ca, sign_csr

NOW = SystemClock().now()
CA = make_ca(common_name="demo", now=NOW)
ADDRESSES = ("127.0.0.1", "127.0.0.2")
ARCHIVE = b"layers" * 1000
NODE = {"uuid": "n-1", "state": "Ready", "ready": True, "reason": None}
NODES = [NODE | {"name": f"demo-{number}", "address": address} for number, address in enumerate(ADDRESSES)]


@dataclass
class Engines:
    """Engines that have one image to give, and take what is sent."""

    port: int = 0
    source: int = 0
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    answer: str = "{}"

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path.partition("/images/")[2]
        if request.path.endswith("/version"):
            return web.json_response({"ApiVersion": "1.41"})
        if path == "get":
            assert request.query.getall("names") == ["app:1", "app:2"]
            return web.Response(body=ARCHIVE)
        if path == "load":
            peer = request.get_extra_info("peercert")["subject"]
            assert ((("commonName", "admin"),)) in peer, "the user shows a certificate of the cluster's"
            self.taken.append((request.url.host, await request.read()))
            return web.Response(text=self.answer)
        return web.json_response({"Id": "1"}, status=200 if path.startswith("app:") else 404)


@pytest.fixture
async def engines(tmp_path):
    engines = Engines()
    pair = issue(ca=CA, common_name="node", ips=ADDRESSES, now=NOW)
    (tmp_path / "node.pem").write_bytes(pair.pem.encode() + pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "node.pem")
    tls.load_verify_locations(cadata=CA.pem)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with contextlib.AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(engines.handle))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        plain = web.TCPSite(runner, "127.0.0.1", 0)
        await plain.start()
        engines.source = runner.addresses[0][1]
        first = web.TCPSite(runner, ADDRESSES[0], 0, ssl_context=tls)
        await first.start()
        engines.port = runner.addresses[1][1]
        await web.TCPSite(runner, ADDRESSES[1], engines.port, ssl_context=tls).start()
        yield engines


def infra_of(engines: Engines, nodes=NODES) -> ContainerInfraClient:
    """The API, as far as it is asked."""
    cluster = {"uuid": "u", "name": "demo", "cluster_template_id": "t", "status": "CREATE_COMPLETE", "coe_version": ""}
    answers = {
        "/clusters/demo": cluster | {"api_address": f"tcp://127.0.0.1:{engines.port}"},
        "/clustertemplates/t": {"coe": "swarm"},
        "/certificates/u": {"pem": CA.pem},
        "/clusters/u/nodegroups?sort_key=id": {"nodegroups": [{"uuid": "g", "name": "default-worker"}]},
        "/clusters/u/nodegroups/g": {"name": "default-worker", "nodes": nodes},
    }

    def request(url, method, *, raise_exc, headers, json=None):
        content = answers[url] if method == "GET" else {"pem": sign_csr(ca=CA, csr=json["csr"], now=NOW)}
        return SimpleNamespace(status_code=200, content=b"{}", json=lambda: content)

    return ContainerInfraClient(OpenStackApi(SimpleNamespace(request=request), service="container-infra"))


async def load(engines: Engines, images=("app:1", "app:2"), nodes=NODES):
    infra = infra_of(engines, nodes)
    view = await infra.cluster("demo")
    return await load_on_swarm(infra, view, images, docker_url=f"http://127.0.0.1:{engines.source}")


async def test_every_node_gets_the_one_archive(engines):
    assert await load(engines) == ["demo-0", "demo-1"]
    assert sorted(engines.taken) == [(address, ARCHIVE) for address in ADDRESSES]


async def test_a_node_that_refuses_is_named(engines):
    engines.answer = '{"errorDetail": {"message": "no space left"}}'
    with pytest.raises((Permanent, Temporary), match=r"loading images onto node demo-[01]: .*no space left"):
        await load(engines)


async def test_an_image_that_is_not_there_is_named(engines):
    with pytest.raises(Permanent, match="there is no image nope:1 on the Docker Engine of this machine"):
        await load(engines, images=("app:1", "nope:1"))
    assert engines.taken == []


async def test_a_cluster_without_nodes_takes_none(engines):
    with pytest.raises(Permanent, match="cluster demo has no node with an address"):
        await load(engines, nodes=[NODE | {"name": "demo-0", "address": None}])
