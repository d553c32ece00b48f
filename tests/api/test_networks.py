"""The network family: networks, subnets, ports and security groups of projects."""

import asyncio
import json

import pytest

from jeroboam.domain.networks import default_group_id, default_network_id
from tests.api.client import Client
from tests.builders import host, new_uuid

NETWORKS, SUBNETS, PORTS = "/v2.0/networks", "/v2.0/subnets", "/v2.0/ports"
GROUPS, RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"


@pytest.fixture
def net(app):
    """A member's client of the network family."""
    return Client(app, "/network")


@pytest.fixture
def add(net):
    """Makes an object of a kind, as a member."""

    async def create(path, client=net, **fields):
        singular = path.rpartition("/")[2].removesuffix("s").replace("-", "_")
        answer = await client.post(path, {singular: fields})
        assert answer.status == 201, answer.body
        return answer.json()[singular]

    return create


@pytest.fixture
async def backend(add):
    """A network with a subnet."""
    network = await add(NETWORKS, name="backend")
    await add(SUBNETS, name="backend-v4", network_id=network["id"], cidr="10.77.0.0/29", ip_version=4)
    return network


def error_of(answer):
    return answer.json()["NeutronError"]


async def test_the_family_says_what_it_has(net):
    anyone = net.as_(None)
    [version] = (await anyone.get("/")).json()["versions"]
    assert version["links"][0]["href"] == "http://cloud:9511/network/v2.0/"
    assert (await anyone.get("/v2.0")).status == 401
    assert (await net.get("/v2.0")).json()["resources"][0]["collection"] == "networks"
    aliases = {row["alias"] for row in (await net.get("/v2.0/extensions")).json()["extensions"]}
    assert "security-group" in aliases
    assert "router" not in aliases
    assert (await net.get("/v2.0/extensions/security-group")).status == 200
    assert (await net.get("/v2.0/extensions/router")).status == 404
    for absent in ("/v2.0/routers", "/v2.0/floatingips", "/v2.0/trunks"):
        answer = await net.get(absent)
        assert (answer.status, error_of(answer)["type"]) == (404, "HTTPNotFound")


async def test_without_the_driver_there_is_no_such_family(parts):
    from dataclasses import replace

    from jeroboam.api.app import create_app

    app = create_app(replace(parts, options=replace(parts.options, has_networks=False)))
    assert (await Client(app, "/network").get(NETWORKS)).status == 404
    zun = Client(app, "/container", version="latest")
    answer = await zun.post("/v1/containers", {"image": "busybox"})
    assert (answer.status, answer.json()["addresses"]) == (202, {})
    for fields in ({"nets": [{"network": "default"}]}, {"security_groups": ["web"]}):
        answer = await zun.post("/v1/containers", {"image": "busybox"} | fields)
        assert (answer.status, "[networking] driver" in answer.error["detail"]) == (400, True)
    name = answer.json()
    assert name


async def test_a_network_lives(net, add, backend):
    shown = (await net.get(f"{NETWORKS}/{backend['id']}")).json()["network"]
    [subnet] = (await net.get(f"{SUBNETS}?network_id={backend['id']}")).json()["subnets"]
    assert shown["subnets"] == [subnet["id"]]
    assert (shown["status"], shown["shared"], shown["project_id"]) == ("ACTIVE", False, "p1")
    assert (subnet["gateway_ip"], subnet["cidr"], subnet["enable_dhcp"]) == ("10.77.0.1", "10.77.0.0/29", True)
    change = {"network": {"name": "other", "description": "d"}}
    answer = await net.put(f"{NETWORKS}/{backend['id']}", change)
    assert (answer.json()["network"]["name"], answer.json()["network"]["description"]) == ("other", "d")
    answer = await net.put(f"{SUBNETS}/{subnet['id']}", {"subnet": {"name": "v4"}})
    assert answer.json()["subnet"]["name"] == "v4"
    port = await add(PORTS, network_id=backend["id"])
    for path in (f"{NETWORKS}/{backend['id']}", f"{SUBNETS}/{subnet['id']}"):
        answer = await net.delete(path)
        assert (answer.status, port["id"] in error_of(answer)["message"]) == (409, True)
    assert (await net.delete(f"{PORTS}/{port['id']}")).status == 204
    assert (await net.delete(f"{NETWORKS}/{backend['id']}")).status == 204
    for path in (f"{NETWORKS}/{backend['id']}", f"{SUBNETS}/{subnet['id']}", f"{PORTS}/{port['id']}"):
        answer = await net.get(path)
        assert (answer.status, error_of(answer)["type"].endswith("NotFound")) == (404, True)


async def test_each_project_has_a_default_network_and_group_that_stay(net):
    [network] = (await net.get(NETWORKS)).json()["networks"]
    [subnet] = (await net.get(SUBNETS)).json()["subnets"]
    [group] = (await net.get(GROUPS)).json()["security_groups"]
    assert (network["id"], network["name"]) == (default_network_id("p1"), "default")
    assert (group["id"], group["name"]) == (default_group_id("p1"), "default")
    rules = {(rule["direction"], rule["ethertype"], rule["remote_group_id"]) for rule in group["security_group_rules"]}
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", group["id"]),
        ("ingress", "IPv6", group["id"]),
    }
    for path in (f"{NETWORKS}/{network['id']}", f"{SUBNETS}/{subnet['id']}", f"{GROUPS}/{group['id']}"):
        assert (await net.delete(path)).status == 409
    for path, singular in ((NETWORKS, "network"), (GROUPS, "security_group")):
        uuid = default_network_id("p1") if singular == "network" else default_group_id("p1")
        assert (await net.put(f"{path}/{uuid}", {singular: {"name": "mine"}})).status == 409
    assert (await net.post(GROUPS, {"security_group": {"name": "default"}})).status == 409
    [other] = (await net.as_("stranger").get(NETWORKS)).json()["networks"]
    assert other["id"] == default_network_id("p2")
    assert len((await net.as_("admin").get(NETWORKS)).json()["networks"]) >= 2


@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [
        (NETWORKS, {"name": 1}, "name"),
        (NETWORKS, {"name": "x" * 256}, "name"),
        (NETWORKS, {"shared": True}, "shared"),
        (NETWORKS, {"router:external": True}, "router:external"),
        (NETWORKS, {"admin_state_up": False}, "admin_state_up"),
        (NETWORKS, {"mtu": 9000}, "mtu"),
        (NETWORKS, {"project_id": "p1", "tenant_id": "p2"}, "tenant_id"),
        (SUBNETS, {"cidr": "10.78.0.0/24"}, "network_id"),
        (SUBNETS, {"network_id": "N"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.1/24"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/30"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "8.8.8.0/24"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "127.0.0.0/8"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "169.254.0.0/16"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "fd00::/64"}, "cidr"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/24", "ip_version": 6}, "ip_version"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/24", "gateway_ip": "10.79.0.1"}, "gateway_ip"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/24", "gateway_ip": None}, "gateway_ip"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/24", "enable_dhcp": False}, "enable_dhcp"),
        (SUBNETS, {"network_id": "N", "cidr": "10.78.0.0/24", "dns_nameservers": ["8.8.8.8"]}, "dns_nameservers"),
        (PORTS, {}, "network_id"),
        (PORTS, {"network_id": "B", "fixed_ips": "10.77.0.3"}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": []}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": [{"ip_address": "10.77.0.9"}]}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": [{"ip_address": "10.77.0.7"}]}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": [{"ip_address": "moon"}]}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": [{"subnet_id": "x"}]}, "fixed_ips"),
        (PORTS, {"network_id": "B", "fixed_ips": [{"ip_address": 3}]}, "fixed_ips"),
        (PORTS, {"network_id": "B", "mac_address": "02:00:00:00:00:01"}, "mac_address"),
        (PORTS, {"network_id": "B", "device_id": "x"}, "device_id"),
        (PORTS, {"network_id": "B", "security_groups": "web"}, "security_groups"),
        (GROUPS, {"name": []}, "name"),
        (GROUPS, {"stateful": False}, "stateful"),
        (RULES, {"direction": "ingress"}, "security_group_id"),
        (RULES, {"security_group_id": "G"}, "direction"),
        (RULES, {"security_group_id": "G", "direction": "up"}, "direction"),
        (RULES, {"security_group_id": "G", "direction": "ingress", "ethertype": "IPX"}, "ethertype"),
        (RULES, {"security_group_id": "G", "direction": "ingress", "protocol": "http"}, "protocol"),
        (RULES, {"security_group_id": "G", "direction": "ingress", "protocol": 256}, "protocol"),
        (RULES, {"security_group_id": "G", "direction": "ingress", "port_range_min": 80}, "port_range_min"),
        (
            RULES,
            {
                "security_group_id": "G",
                "direction": "ingress",
                "protocol": "tcp",
                "port_range_min": 81,
                "port_range_max": 80,
            },
            "port_range_min",
        ),
        (
            RULES,
            {"security_group_id": "G", "direction": "ingress", "protocol": "tcp", "port_range_min": 70000},
            "port_range_min",
        ),
        (RULES, {"security_group_id": "G", "direction": "ingress", "remote_ip_prefix": "moon"}, "remote_ip_prefix"),
        (RULES, {"security_group_id": "G", "direction": "ingress", "remote_ip_prefix": "fd00::/8"}, "remote_ip_prefix"),
        (
            RULES,
            {
                "security_group_id": "G",
                "direction": "ingress",
                "remote_ip_prefix": "10.0.0.0/8",
                "remote_group_id": "G",
            },
            "remote_group_id",
        ),
    ],
)
async def test_bad_fields_are_named_and_nothing_is_stored(net, add, backend, path, fields, field):
    empty, group = await add(NETWORKS, name="empty"), await add(GROUPS, name="web")
    names = {"N": empty["id"], "B": backend["id"], "G": group["id"]}
    body = {key: names.get(value, value) if isinstance(value, str) else value for key, value in fields.items()}
    plural = path.rpartition("/")[2].replace("-", "_")
    before = (await net.get(path)).json()[plural]
    answer = await net.post(path, {plural.removesuffix("s"): body})
    assert answer.status == 400, answer.body
    assert field in error_of(answer)["message"]
    assert (await net.get(path)).json()[plural] == before


@pytest.mark.parametrize("body", [[], {}, {"network": []}, {"networks": [{}]}, {"network": {}, "more": 1}])
async def test_a_body_without_the_object(net, body):
    answer = await net.post(NETWORKS, body)
    assert (answer.status, error_of(answer)["type"]) == (400, "HTTPBadRequest")


async def test_subnets_of_one_machine_do_not_overlap(net, add, backend, store):
    answer = await net.post(SUBNETS, {"subnet": {"network_id": backend["id"], "cidr": "10.99.0.0/24"}})
    assert (answer.status, "has a subnet already" in error_of(answer)["message"]) == (409, True)
    stranger = net.as_("stranger")
    other = await add(NETWORKS, client=stranger, name="theirs")
    async with store.write() as tx:
        known = host()
        from dataclasses import replace

        await tx.hosts.insert(replace(known, facts=replace(known.facts, used_subnets=("192.168.7.0/24",))))
    for cidr, used in (("10.77.0.0/16", "10.77.0.0/29"), ("192.168.0.0/16", "192.168.7.0/24")):
        answer = await stranger.post(SUBNETS, {"subnet": {"network_id": other["id"], "cidr": cidr}})
        assert (answer.status, used in error_of(answer)["message"]) == (409, True)


async def test_addresses_are_given_out_once(net, add, backend):
    first = await add(PORTS, network_id=backend["id"], name="p1", fixed_ips=[{"ip_address": "10.77.0.3"}])
    assert first["mac_address"] == "02:42:0a:4d:00:03"
    assert (first["status"], first["device_id"], first["security_groups"]) == ("DOWN", "", [default_group_id("p1")])
    given = [(await add(PORTS, network_id=backend["id"]))["fixed_ips"][0]["ip_address"] for _ in range(4)]
    assert given == ["10.77.0.2", "10.77.0.4", "10.77.0.5", "10.77.0.6"]
    full = await net.post(PORTS, {"port": {"network_id": backend["id"]}})
    assert (full.status, error_of(full)["type"]) == (409, "IpAddressGenerationFailure")
    for address in ("10.77.0.3", "10.77.0.1"):
        body = {"port": {"network_id": backend["id"], "fixed_ips": [{"ip_address": address}]}}
        assert (await net.post(PORTS, body)).status == 409
    await net.delete(f"{PORTS}/{first['id']}")
    assert (await add(PORTS, network_id=backend["id"]))["fixed_ips"][0]["ip_address"] == "10.77.0.3"


async def test_a_port_changes(net, add, backend):
    port, group = await add(PORTS, network_id=backend["id"]), await add(GROUPS, name="web")
    change = {"name": "n", "fixed_ips": [{"ip_address": "10.77.0.6"}], "security_groups": [group["id"]]}
    shown = (await net.put(f"{PORTS}/{port['id']}", {"port": change})).json()["port"]
    assert (shown["name"], shown["fixed_ips"][0]["ip_address"]) == ("n", "10.77.0.6")
    assert (shown["mac_address"], shown["security_groups"]) == ("02:42:0a:4d:00:06", [group["id"]])
    assert (await net.delete(f"{GROUPS}/{group['id']}")).status == 409
    assert (await net.put(f"{PORTS}/{port['id']}", {"port": {"security_groups": []}})).status == 200
    assert (await net.delete(f"{GROUPS}/{group['id']}")).status == 204
    assert (await net.put(f"{PORTS}/{port['id']}", {"port": {"security_groups": [new_uuid()]}})).status == 404


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
async def test_a_race_for_one_address_has_one_winner(net, add, zun):
    network = await add(NETWORKS, name="backend")
    await add(SUBNETS, network_id=network["id"], cidr="10.77.0.0/24")
    body = {"port": {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.77.0.9"}]}}
    box = {"image": "busybox", "nets": [{"network": "backend", "v4-fixed-ip": "10.77.0.9"}]}
    asked = [*(net.post(PORTS, body) for _ in range(5)), *(zun.post("/v1/containers", box) for _ in range(5))]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers)[1:] == [409] * 9
    ports = (await net.get(f"{PORTS}?network_id={network['id']}")).json()["ports"]
    assert [port["fixed_ips"][0]["ip_address"] for port in ports] == ["10.77.0.9"]
    many = await asyncio.gather(*(zun.post("/v1/containers", {"image": "busybox"}) for _ in range(20)))
    assert {answer.status for answer in many} == {202}
    shown = [next(iter(answer.json()["addresses"].values()))[0]["addr"] for answer in many]
    assert len(set(shown)) == 20


async def test_groups_and_rules(net, add):
    group = await add(GROUPS, name="web", description="d")
    assert {rule["direction"] for rule in group["security_group_rules"]} == {"egress"}
    rule = await add(
        RULES,
        security_group_id=group["id"],
        direction="ingress",
        ethertype="IPv4",
        protocol="TCP",
        port_range_min=80,
        port_range_max="80",
        remote_ip_prefix="10.1.2.3/8",
    )
    assert (rule["protocol"], rule["port_range_max"], rule["remote_ip_prefix"]) == ("tcp", 80, "10.0.0.0/8")
    body = {key: rule[key] for key in ("security_group_id", "direction", "protocol", "port_range_min")}
    body |= {"port_range_max": 80, "remote_ip_prefix": "10.0.0.0/8"}
    again = await net.post(RULES, {"security_group_rule": body})
    assert (again.status, error_of(again)["type"]) == (409, "SecurityGroupRuleExists")
    assert (await net.get(f"{RULES}/{rule['id']}")).json()["security_group_rule"] == rule
    [shown] = (await net.get(f"{RULES}?security_group_id={group['id']}&direction=ingress")).json()[
        "security_group_rules"
    ]
    assert shown == rule
    assert (await net.put(f"{GROUPS}/{group['id']}", {"security_group": {"name": "www"}})).status == 200
    assert (await net.delete(f"{RULES}/{rule['id']}")).status == 204
    assert (await net.delete(f"{RULES}/{rule['id']}")).status == 404
    other = await add(GROUPS, name="db")
    await add(RULES, security_group_id=other["id"], direction="ingress", remote_group_id=group["id"])
    assert (await net.delete(f"{GROUPS}/{group['id']}")).status == 409
    for path in (f"{GROUPS}/{other['id']}", f"{GROUPS}/{group['id']}"):
        assert (await net.delete(path)).status == 204


async def test_strangers_see_nothing(net, add, backend):
    port, group = await add(PORTS, network_id=backend["id"]), await add(GROUPS, name="web")
    rule = group["security_group_rules"][0]
    stranger = net.as_("stranger")
    for path, singular in (
        (f"{NETWORKS}/{backend['id']}", "network"),
        (f"{PORTS}/{port['id']}", "port"),
        (f"{GROUPS}/{group['id']}", "security_group"),
    ):
        assert (await stranger.get(path)).status == 404
        assert (await stranger.put(path, {singular: {"name": "mine"}})).status == 404
        assert (await stranger.delete(path)).status == 404
        assert (await net.as_("admin").get(path)).status == 200
    assert (await stranger.delete(f"{RULES}/{rule['id']}")).status == 404
    assert (await stranger.get(f"{NETWORKS}?project_id=p1")).json() == {"networks": []}
    for body in ({"network_id": backend["id"]},):
        assert (await stranger.post(PORTS, {"port": body})).status == 404
    mine = await add(NETWORKS, client=stranger, name="x")
    await add(SUBNETS, client=stranger, network_id=mine["id"], cidr="10.80.0.0/24")
    body = {"network_id": mine["id"], "security_groups": [group["id"]]}
    assert (await stranger.post(PORTS, {"port": body})).status == 404
    assert (await stranger.post(NETWORKS, {"network": {"project_id": "p1"}})).status == 403
    theirs = await net.as_("admin").post(NETWORKS, {"network": {"project_id": "p1"}})
    assert theirs.json()["network"]["project_id"] == "p1"


async def test_lists_have_filters_fields_and_pages(net, add):
    names = ["a", "b", "c"]
    made = [await add(NETWORKS, name=name) for name in names]
    both = (await net.get(f"{NETWORKS}?name=a&name=b&fields=name&fields=id")).json()["networks"]
    assert both == [{"name": row["name"], "id": row["id"]} for row in made[:2]]
    page = (await net.get(f"{NETWORKS}?limit=2&sort_key=name&sort_dir=desc&name=a&name=b&name=c")).json()
    assert [row["name"] for row in page["networks"]] == ["c", "b"]
    [link] = page["networks_links"]
    path = link["href"].removeprefix("http://cloud:9511/network")
    assert [row["name"] for row in (await net.get(path)).json()["networks"]] == ["a"]
    assert (await net.get(f"{NETWORKS}?nonsense=1")).status == 400
    assert (await net.get(f"{NETWORKS}?marker={new_uuid()}")).status == 404
    assert (await net.get(f"{NETWORKS}?id={made[0]['id']}")).json()["networks"][0]["name"] == "a"
    assert (await net.get(f"{PORTS}?device_id=x&fields=id")).json() == {"ports": []}


async def test_a_project_has_so_many(parts):
    from dataclasses import replace

    from jeroboam.api.app import create_app

    quota = {"network": 1, "port": 0, "security_group": 1, "security_group_rule": 0}
    net = Client(create_app(replace(parts, options=replace(parts.options, network_quota=quota))), "/network")
    assert (await net.post(NETWORKS, {"network": {}})).status == 201
    answer = await net.post(NETWORKS, {"network": {}})
    assert (answer.status, error_of(answer)["type"]) == (409, "OverQuota")
    await net.get(GROUPS)
    assert (await net.post(GROUPS, {"security_group": {}})).status == 409
    body = {"security_group_id": default_group_id("p1"), "direction": "ingress"}
    assert (await net.post(RULES, {"security_group_rule": body})).status == 409
    assert (await net.post(PORTS, {"port": {"network_id": default_network_id("p1")}})).status == 409


async def test_no_media_type_but_json(net):
    answer = await net.post(NETWORKS, {"network": {}}, headers={"content-type": "text/plain"})
    assert (answer.status, json.loads(answer.body)["NeutronError"]["type"]) == (415, "HTTPUnsupportedMediaType")
