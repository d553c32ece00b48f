"""The effects of the fields and arguments of actions, as `field_effects` has them for those of objects.

They are listed by family, and by method and path. A test checks that every route that changes something is listed.
"""

from collections.abc import Mapping

from jeroboam.domain.field_effects import KUBERNETES, SERVICE, SWARM, FieldRule, FieldTable, Rules


def _carry(note: str = "") -> Rules:
    return {SERVICE: FieldRule(carries=None, note=note)}


def _ignore(note: str) -> Rules:
    return {SERVICE: FieldRule(ignores=None, note=note)}


def _carry_all(names: str) -> FieldTable:
    return {name: _carry() for name in names.split()}


_KINDS = ("pod", "service", "rc")
_BATCH: FieldTable = {"max_batch_size": _carry("how many workers of a group may be away at once")}
_BAY: FieldTable = {"bay_ident": _carry("the bay to look in")}
_MANIFEST: FieldTable = {
    "manifest": _carry("the cluster's own words refuse what it cannot have"),
    "manifest_url": _carry("fetched by the service, from where the operator allows"),
}
_RECORD: FieldTable = {
    name: _ignore("a record for its users: no bay is made from it, as in 2015")
    for name in ("type", "image_id", "ironic_node_id")
}
_HOST_LIMITS = _carry_all("containers cpu disk memory")

CONTAINER_INFRA: Mapping[str, FieldTable] = {
    "PATCH /clusters/{cluster}": {"rollback": _carry("a change that fails for good is taken back"), **_BATCH},
    "PATCH /clusters/{cluster}/nodegroups/{group}": _BATCH,
    "POST /clusters/{cluster}/actions/resize": _carry_all("node_count nodegroup nodes_to_remove"),
    "POST /clusters/{cluster}/actions/upgrade": {**_carry_all("cluster_template nodegroup"), **_BATCH},
    "POST /certificates": {
        **_carry_all("cluster_uuid bay_uuid csr"),
        "ca_cert_type": {
            SWARM: FieldRule(carries=None, note="there is one authority; asking for another is a 404"),
            KUBERNETES: FieldRule(carries=None, note="`etcd`, `front-proxy`; any other word is the main one"),
        },
    },
    "POST /quotas": _carry_all("project_id resource hard_limit"),
    "PATCH /quotas/{project}/{resource}": _carry_all("project_id resource hard_limit"),
    "POST /nodes": _RECORD,
    "PATCH /nodes/{node}": _RECORD,
    "POST /containers": {
        **_carry_all("bay_uuid name image image_id command memory"),
        "status": _ignore("not read: clients send back what they have read"),
    },
    "PATCH /containers/{container}": _carry_all("name"),
    "PUT /containers/execute/{container}": _carry_all("command"),
    "PUT /containers/{container}/execute": _carry_all("command"),
    **{f"POST /{kind}s": {**_carry_all("bay_uuid"), **_MANIFEST} for kind in _KINDS},
    **{f"PATCH /{kind}s/{{{kind}}}": {**_MANIFEST, **_BAY} for kind in _KINDS},
    **{f"DELETE /{kind}s/{{{kind}}}": _BAY for kind in _KINDS},
}
_REGISTRY = _carry("`name`, `domain`, `username`, `password`; the last two are sealed at rest")
CONTAINER: Mapping[str, FieldTable] = {
    "POST /containers": {"run": _carry("starts the container once it is created")},
    "DELETE /containers/{container}": _carry_all("force stop"),
    "POST /capsules": {"template": _carry("an object, or its text in JSON; its fields are in the table above")},
    "POST /containers/{container}/stop": _carry_all("timeout"),
    "POST /containers/{container}/reboot": _carry_all("timeout"),
    "POST /containers/{container}/kill": _carry_all("signal"),
    "POST /containers/{container}/rebuild": _carry_all("image image_driver"),
    "POST /containers/{container}/resize_container": _carry_all("cpu memory"),
    "POST /containers/{container}/rename": _carry_all("name"),
    "POST /containers/{container}/execute": {
        "command": _carry(),
        "run": _carry("if false, the command starts when the WebSocket of the answer is opened"),
        "interactive": _carry("the command has a terminal; without effect while `run` is true"),
    },
    "POST /containers/{container}/execute_resize": _carry_all("exec_id h w"),
    "POST /containers/{container}/resize": _carry_all("h w"),
    "POST /containers/{container}/put_archive": _carry_all("path data"),
    "POST /containers/{container}/network_attach": _carry_all("network port fixed_ip"),
    "POST /containers/{container}/network_detach": _carry_all("network port"),
    "POST /containers/{container}/add_security_group": _carry_all("name"),
    "POST /containers/{container}/remove_security_group": _carry_all("name"),
    "POST /networks": {
        "neutron_net_id": _carry("the uuid of a network"),
        "name": _ignore("shown in the answer; the network keeps its own"),
    },
    "POST /images": {
        **_carry_all("repo tag host"),
        **{name: _ignore("set by the host once it has the image") for name in ("image_id", "size")},
        "image_pull_policy": _ignore("the registry is asked each time"),
    },
    "POST /registries": {"registry": _REGISTRY},
    "PATCH /registries/{registry}": {"registry": _REGISTRY},
    "DELETE /services": _carry_all("host binary"),
    "PUT /services/enable": _carry_all("host binary"),
    "PUT /services/disable": _carry_all("host binary disabled_reason"),
    "PUT /services/force_down": _carry_all("host binary forced_down"),
    "PUT /quotas/{project}": _HOST_LIMITS,
    "PUT /quota_classes/{class}": _HOST_LIMITS,
}
