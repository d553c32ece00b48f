"""Containers on networks: what a create names, what is attached and detached later, security groups."""

import pytest

from jeroboam.domain.containers import OpKind
from jeroboam.domain.networks import default_group_id, default_network_id, default_subnet_id
from tests.api.client import Client
from tests.api.loops import run_on_host
from tests.builders import new_uuid

BOX = "/v1/containers/box"


@pytest.fixture
def net(app):
    """A member's client of the network family."""
    return Client(app, "/network")


@pytest.fixture
def add(net):
    """Makes an object of the network family, as a member."""

    async def create(plural, client=net, **fields):
        singular = plural.removesuffix("s").replace("-", "_")
        answer = await client.post(f"/v2.0/{plural}", {singular: fields})
        assert answer.status == 201, answer.body
        return answer.json()[singular]

    return create


@pytest.fixture
def add_network(add):
    """Makes a network with a subnet, as a member."""

    async def create(name, third, **options):
        network = await add("networks", name=name, **options)
        await add("subnets", network_id=network["id"], cidr=f"10.77.{third}.0/24", **options)
        return network["id"]

    return create


async def ports_of(net, uuid):
    return (await net.get(f"/v2.0/ports?device_id={uuid}")).json()["ports"]


async def show(zun, path=BOX):
    return (await zun.get(path)).json()


async def test_a_container_that_names_none_is_on_the_default_network(zun, net, make):
    shown = await make.container()
    [(network, [address])] = shown["addresses"].items()
    assert (network, address["subnet_id"]) == (default_network_id("p1"), default_subnet_id("p1"))
    assert (address["version"], address["preserve_on_delete"]) == (4, False)
    assert shown["security_groups"] == [default_group_id("p1")]
    [port] = await ports_of(net, shown["uuid"])
    assert (port["id"], port["device_owner"], port["status"]) == (address["port"], "compute:kuryr", "ACTIVE")
    assert port["fixed_ips"] == [{"subnet_id": address["subnet_id"], "ip_address": address["addr"]}]
    assert (await net.delete(f"/v2.0/ports/{port['id']}")).status == 409
    body = {"port": {"fixed_ips": [{"ip_address": "10.208.0.99"}]}}
    assert (await net.put(f"/v2.0/ports/{port['id']}", body)).status == 409
    new = (await zun.get(f"{BOX}/network_list")).json()["networks"]
    assert new == [
        {
            "net_id": network,
            "port_id": address["port"],
            "fixed_ips": [{"subnet_id": address["subnet_id"], "version": 4, "ip_address": address["addr"]}],
        }
    ]
    [old] = (await zun.at("1.13").get(f"{BOX}/network_list")).json()["networks"]
    assert (old["net_id"], old["ip_address"]) == (network, address["addr"])


async def test_nets_name_networks_and_ports(zun, net, add, add_network, make):
    backend, front = await add_network("backend", 1), await add_network("front", 2)
    port = await add("ports", network_id=front, name="p", fixed_ips=[{"ip_address": "10.77.2.50"}])
    nets = [{"network": "backend", "v4-fixed-ip": "10.77.1.9"}, {"port": "p"}]
    shown = await make.container(nets=nets)
    assert {key: value[0]["addr"] for key, value in shown["addresses"].items()} == {
        backend: "10.77.1.9",
        front: "10.77.2.50",
    }
    assert shown["addresses"][front][0]["preserve_on_delete"] is True
    assert (await net.get(f"/v2.0/ports/{port['id']}")).json()["port"]["device_id"] == shown["uuid"]
    for by in ("p", port["id"]):
        answer = await zun.post("/v1/containers", {"image": "busybox", "nets": [{"port": by}]})
        assert (answer.status, answer.error["code"]) == (400, "container.port-in-use")
    again = {"image": "busybox", "nets": [{"network": backend, "v4-fixed-ip": "10.77.1.9"}]}
    assert (await zun.post("/v1/containers", again)).status == 409


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"nets": [{"network": "nowhere"}]}, 404, "Network nowhere could not be found"),
        ({"nets": [{"port": "nowhere"}]}, 404, "Port nowhere could not be found"),
        ({"nets": [{"network": "theirs"}]}, 404, "Network theirs could not be found"),
        ({"nets": [{"network": "twice"}]}, 409, "Multiple networks exist"),
        ({"nets": [{"network": "bare"}]}, 409, "has no subnet"),
        ({"nets": [{"network": "backend", "v4-fixed-ip": "10.78.0.1"}]}, 400, "nets/v4-fixed-ip"),
        ({"nets": [{"network": "backend", "v4-fixed-ip": "moon"}]}, 400, "nets/v4-fixed-ip"),
        ({"nets": [{"network": "backend", "v4-fixed-ip": "10.77.1.1"}]}, 409, "is the gateway"),
        ({"nets": [{"network": "backend", "v6-fixed-ip": "fd00::1"}]}, 400, "nets/v6-fixed-ip"),
        ({"nets": [{"network": "backend"}, {"network": "backend"}]}, 400, "one port on a network"),
        ({"nets": [{"network": "backend", "port": "p"}]}, 400, "either a network or a port"),
        ({"nets": [{"port": "p", "v4-fixed-ip": "10.77.1.9"}]}, 400, "a port has its address already"),
        ({"nets": [{"network": "backend"}] * 9}, 400, "at most 8 networks"),
        ({"security_groups": ["nothing"]}, 400, "security_groups"),
        ({"security_groups": ["twice"]}, 409, "Multiple security groups exist"),
        ({"security_groups": ["web"], "exposed_ports": {"80/tcp": {}}}, 400, "cannot be used together"),
    ],
)
async def test_what_cannot_be_is_refused_and_leaves_nothing(zun, net, add, add_network, fields, status, text):
    await add_network("backend", 1)
    await add_network("theirs", 2, client=net.as_("stranger"))
    backend = (await net.get("/v2.0/networks?name=backend")).json()["networks"][0]["id"]
    await add("ports", network_id=backend, name="p")
    await add("networks", name="bare")
    for _ in range(2):
        await add("networks", name="twice")
        await add("security-groups", name="twice")
    before = (await net.get("/v2.0/ports")).json()
    answer = await zun.post("/v1/containers", {"image": "busybox"} | fields)
    assert (answer.status, text in answer.error["detail"]) == (status, True), answer.body
    assert (await net.get("/v2.0/ports")).json() == before
    assert (await zun.get("/v1/containers")).json()["containers"] == []


async def test_networks_come_and_go(zun, net, add, add_network, make, store):
    backend, front = await add_network("backend", 1), await add_network("front", 2)
    port = await add("ports", network_id=front, name="p")
    shown = await make.container()
    await run_on_host(store, shown["uuid"])
    answer = await zun.post(f"{BOX}/network_attach?network=backend&fixed_ip=10.77.1.77")
    assert (answer.status, answer.json()) == (200, None)
    answer = await zun.post(f"{BOX}/network_attach", {"port": "p"})
    assert answer.status == 200, answer.body
    addresses = (await show(zun))["addresses"]
    assert set(addresses) == {default_network_id("p1"), backend, front}
    assert addresses[backend][0]["addr"] == "10.77.1.77"
    for query in ("network=backend", f"network={front}"):
        answer = await zun.post(f"{BOX}/network_attach?{query}")
        assert (answer.status, "already attached" in answer.error["detail"]) == (400, True)
    async with store.read() as tx:
        row = await tx.containers.get(shown["uuid"])
        actions = await tx.container_actions.list_newest_first(shown["uuid"], 9)
    assert [op.kind for op in row.ops] == [OpKind.NETWORK_ATTACH] * 2
    assert (row.status, row.task_state) == ("Running", "network_attaching")
    assert [action.action for action in actions] == ["network_attach", "network_attach", "create"]
    answer = await zun.post(f"{BOX}/network_detach?port=p")
    assert (answer.status, answer.json()) == (202, None)
    answer = await zun.post(f"{BOX}/network_detach?network={backend}")
    assert answer.status == 202
    assert (await net.get(f"/v2.0/ports/{port['id']}")).json()["port"]["status"] == "DOWN"
    assert set((await show(zun))["addresses"]) == {default_network_id("p1")}
    assert len(await ports_of(net, shown["uuid"])) == 1
    for query in ("network=backend", "port=p"):
        answer = await zun.post(f"{BOX}/network_detach?{query}")
        assert (answer.status, "is not attached" in answer.error["detail"]) == (400, True)
    assert (await zun.post(f"{BOX}/network_detach?network=default")).status == 202
    assert (await show(zun))["addresses"] == {}
    assert (await zun.post(f"{BOX}/network_attach?network=default")).status == 200


@pytest.mark.parametrize(
    ("action", "query", "status"),
    [
        ("network_attach", "", 400),
        ("network_attach", "network=backend&port=p", 400),
        ("network_attach", "port=p&fixed_ip=10.77.1.9", 400),
        ("network_attach", "network=nowhere", 404),
        ("network_attach", "port=nowhere", 404),
        ("network_attach", "network=backend&fixed_ip=10.1.1.1", 400),
        ("network_attach", "network=backend&nonsense=1", 400),
        ("network_detach", "", 400),
        ("network_detach", "network=nowhere", 404),
        ("network_detach", "port=nowhere", 404),
        ("network_detach", "network=backend&port=p", 400),
    ],
)
async def test_bad_arguments(zun, add, add_network, make, action, query, status):
    backend = await add_network("backend", 1)
    await add("ports", network_id=backend, name="p")
    await make.container()
    assert (await zun.post(f"{BOX}/{action}?{query}")).status == status


async def test_versions(zun, add_network, make):
    await add_network("backend", 1)
    await make.container()
    assert (await zun.at("1.7").post(f"{BOX}/network_attach?network=backend")).status == 406
    assert (await zun.at("1.5").post(f"{BOX}/network_detach?network=backend")).status == 406
    assert (await zun.at("1.16").post(f"{BOX}/network_detach?port=x")).status == 400
    assert (await zun.at("1.15").post(f"{BOX}/add_security_group?name=x")).status == 406


async def test_security_groups_come_and_go(zun, net, add, make, store):
    web = await add("security-groups", name="web")
    shown = await make.container(security_groups=["web", web["id"]])
    await run_on_host(store, shown["uuid"])
    assert shown["security_groups"] == [web["id"]]
    assert (await ports_of(net, shown["uuid"]))[0]["security_groups"] == [web["id"]]
    old = zun.at("1.14")
    assert (await old.post(f"{BOX}/add_security_group?name=web")).status == 400
    assert (await old.post(f"{BOX}/remove_security_group?name=default")).status == 400
    assert (await old.post(f"{BOX}/add_security_group?name=nothing")).status == 400
    assert (await old.post(f"{BOX}/add_security_group")).status == 400
    answer = await old.post(f"{BOX}/add_security_group", {"name": "default"})
    assert (answer.status, answer.json()) == (202, None)
    both = [web["id"], default_group_id("p1")]
    assert (await show(zun))["security_groups"] == both
    assert (await ports_of(net, shown["uuid"]))[0]["security_groups"] == both
    assert (await net.delete(f"/v2.0/security-groups/{web['id']}")).status == 409
    assert (await old.post(f"{BOX}/remove_security_group?name=web")).status == 202
    assert (await show(zun))["security_groups"] == [default_group_id("p1")]
    assert (await net.delete(f"/v2.0/security-groups/{web['id']}")).status == 204


async def test_exposed_ports_are_a_group_that_goes_with_the_container(zun, net, make, store):
    shown = await make.container(exposed_ports={"80/tcp": {}, "53/udp": {}})
    [group] = (await net.get(f"/v2.0/security-groups?name=zun-{shown['uuid']}")).json()["security_groups"]
    assert shown["security_groups"] == [group["id"]]
    opened = [
        (rule["protocol"], rule["port_range_min"], rule["port_range_max"])
        for rule in group["security_group_rules"]
        if rule["direction"] == "ingress"
    ]
    assert sorted(opened) == [("tcp", 80, 80), ("udp", 53, 53)]
    async with store.write() as tx:
        await tx.containers.remove({"uuid": shown["uuid"]})
        await tx.ports.release(shown["uuid"])
    assert (await net.get(f"/v2.0/security-groups/{group['id']}")).status == 404
    assert await ports_of(net, shown["uuid"]) == []


async def test_ports_of_users_stay_when_the_container_goes(net, add, add_network, make, store):
    backend = await add_network("backend", 1)
    port = await add("ports", network_id=backend, name="p")
    shown = await make.container(nets=[{"port": "p"}, {"network": "default"}])
    async with store.write() as tx:
        await tx.ports.release(shown["uuid"])
    assert [row["id"] for row in (await net.get("/v2.0/ports")).json()["ports"]] == [port["id"]]
    shown = (await net.get(f"/v2.0/ports/{port['id']}")).json()["port"]
    assert (shown["device_id"], shown["device_owner"], shown["status"]) == ("", "", "DOWN")


async def test_a_change_of_rules_is_hinted_to_the_host(net, add, make, store, app):
    web = await add("security-groups", name="web")
    shown = await make.container(security_groups=["web"])
    placed = await run_on_host(store, shown["uuid"])
    hints = store._bus.subscribe("dispatch")
    rule = await add("security-group-rules", security_group_id=web["id"], direction="ingress", protocol="tcp")
    key = f"{placed.host_id}/{placed.uuid}"
    assert await anext(aiter(hints)) == key
    await net.delete(f"/v2.0/security-group-rules/{rule['id']}")
    assert await anext(aiter(hints)) == key


async def test_zuns_own_networks(zun, add_network):
    backend = await add_network("backend", 1)
    admin = zun.as_("admin")
    assert (await zun.post("/v1/networks", {"name": "n", "neutron_net_id": backend})).status == 403
    answer = await admin.post("/v1/networks", {"name": "n", "neutron_net_id": backend})
    assert answer.status == 200
    shown = answer.json()
    assert (shown["name"], shown["neutron_net_id"], shown["project_id"]) == ("n", backend, "p1")
    for body in ({"name": "n"}, {"neutron_net_id": backend}, {"name": 1, "neutron_net_id": backend}, {"x": 1}):
        assert (await admin.post("/v1/networks", body)).status == 400
    body = {"name": "n", "neutron_net_id": new_uuid()}
    assert (await admin.post("/v1/networks", body)).status == 404
    assert (await admin.delete(f"/v1/networks/{backend}")).status == 204
    assert (await admin.at("1.26").delete(f"/v1/networks/{backend}")).status == 406
    box = {"image": "busybox", "nets": [{"network": "backend"}]}
    assert (await zun.post("/v1/containers", box)).status == 202
    assert (await admin.delete(f"/v1/networks/{backend}")).status == 409
