"""Every field of a request is carried out, refused, or named as without effect: the table says which."""

import json
import re
from dataclasses import fields, replace

import pytest

from jeroboam.api.bays import baymodels, bays
from jeroboam.api.call import NEWEST, SOCKET
from jeroboam.api.container import fields as container_fields
from jeroboam.api.container.family import ContainerFamily
from jeroboam.api.container_infra.clusters import fields as cluster_fields
from jeroboam.api.container_infra.family import ContainerInfraFamily
from jeroboam.api.container_infra.nodegroups import fields as group_fields
from jeroboam.api.container_infra.templates import fields as template_fields
from jeroboam.coes.base import Authority, CoePlan, Member
from jeroboam.coes.kubernetes import options as kubernetes_options
from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.swarm import options as swarm_options
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.domain import action_fields
from jeroboam.domain import field_effects as effects
from jeroboam.domain.clusters import Cluster, ClusterSpec, NodeGroupSpec, TemplateSpec
from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import FieldEffect, check_effects, check_fields
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca
from tests import builders
from tests.infra_fields import MASTER_LB, ROWS

SPEC = TemplateSpec(coe="swarm", image_id="swarm-node", driver="local")
ACCEPTED = {
    "templates": ({*template_fields.CREATE_CHECKS, *template_fields.PATCH_CHECKS}, template_fields.EFFECTS),
    "clusters": ({*cluster_fields.CREATE_CHECKS, *cluster_fields.PATCH_CHECKS}, cluster_fields.EFFECTS),
    "node groups": ({*group_fields.CREATE_CHECKS, *group_fields.PATCH_CHECKS}, group_fields.EFFECTS),
    "baymodels": ({*baymodels.CREATE_CHECKS, *baymodels.CHANGEABLE}, baymodels.EFFECTS),
    "bays": (set(bays.CREATE_CHECKS), bays.EFFECTS),
    "containers": (
        {
            *container_fields.create_table(container_fields.UNBOUNDED, NEWEST),
            *container_fields.update_table(container_fields.UNBOUNDED),
        },
        container_fields.CONTAINERS,
    ),
}
DRIVERS = ({effects.SERVICE}, {effects.LOCAL}, {effects.DOCKER}, set(effects.COES))


@pytest.mark.parametrize("kind", ACCEPTED)
def test_every_field_that_a_request_may_have_is_in_the_table(kind):
    accepted, table = ACCEPTED[kind]
    assert accepted == set(table)


# By family: whose fields a request to a path changes, and those of its actions.
OBJECTS = {
    "/clustertemplates": template_fields.EFFECTS,
    "/clusters/{cluster}/nodegroups": group_fields.EFFECTS,
    "/clusters": cluster_fields.EFFECTS,
    "/baymodels": baymodels.EFFECTS,
    "/bays": bays.EFFECTS,
}
FAMILIES = {
    "container-infra": (ContainerInfraFamily(), OBJECTS, action_fields.CONTAINER_INFRA),
    "container": (ContainerFamily(), {"/containers": container_fields.CONTAINERS}, action_fields.CONTAINER),
}


def fields_of(schema) -> set[str]:
    """The fields that a body of that schema may have; those of a patch are in the pattern of its paths."""
    if schema.get("type") == "array":
        found = set()
        for step in schema["items"]["anyOf"]:
            found |= set(re.match(r"\^/\(([\w|]+)", step["properties"]["path"]["pattern"])[1].strip("|").split("|"))
        return found
    return set(schema.get("properties", ())).union(*(fields_of(each) for each in schema.get("anyOf", ())))


def is_of(path: str, of: str) -> bool:
    """Whether that path is the list's, or one object's in it."""
    return re.fullmatch(re.escape(of) + r"(/\{\w+\})?", path) is not None


def changing(family):
    """Its routes that change something and are there, each with all that a request to it may say."""
    for route in family.routes:
        if route.method not in {"GET", SOCKET} and route.status != 501:
            yield route, fields_of(route.body or {}) | set(route.query) - {"all_projects"}


@pytest.mark.parametrize("prefix", FAMILIES)
def test_every_field_and_argument_of_a_route_that_changes_something_is_in_a_table(prefix):
    family, objects, actions = FAMILIES[prefix]
    for route, said in changing(family):
        own = actions.get(f"{route.method} {route.path}", {})
        of = next((table for path, table in objects.items() if is_of(route.path, path)), {})
        known = {*own, *of}
        assert said <= known, (route.method, route.path, said - known)
    routes = {f"{route.method} {route.path}": said for route, said in changing(family)}
    for key, table in actions.items():
        assert key in routes, key
        assert set(table) <= routes[key], key


SOURCES = {
    "template": effects.TEMPLATES,
    "cluster": effects.CLUSTERS,
    "group": effects.NODE_GROUPS,
    "label": effects.INFRA_LABELS,
    "group label": effects.INFRA_LABELS,
}


@pytest.mark.parametrize(
    ("source", "field"), sorted({(row.source, row.field) for row in ROWS} | {("cluster", MASTER_LB)})
)
def test_local_or_its_coes_have_a_word_about_all_that_a_provider_is_asked_for(source, field):
    rules = SOURCES[source][field]
    assert effects.LOCAL in rules or set(rules) == set(effects.COES)


@pytest.mark.parametrize("name", effects.INFRA_LABELS)
@pytest.mark.parametrize("options", [swarm_options, kubernetes_options])
def test_a_label_of_the_infrastructure_is_named_where_the_provider_ignores_it(options, name):
    on_local = options.build_labels_condition({name: "1"}, "local")
    assert (on_local.status, name in on_local.message) == (False, True)
    assert options.build_labels_condition({name: "1"}, "a cloud").status is True


@pytest.mark.parametrize("kind", ACCEPTED)
def test_every_field_has_a_word_of_every_driver_that_could_carry_it_out(kind):
    for name, rules in ACCEPTED[kind][1].items():
        assert set(rules) in DRIVERS, name
        for rule in rules.values():
            assert rule.note or rule.effect_of("something") is FieldEffect.CARRIED_OUT or rule.value_names, name


@pytest.mark.parametrize(
    ("field", "value", "driver", "why"),
    [
        ("fixed_subnet", "nope", "local", "local cannot do it: every cluster gets a network of its own"),
        ("fixed_network", "public", "local", "every cluster gets a network of its own"),
        ("server_type", "bm", "local", "local takes vm only: nodes are containers of this machine"),
        ("docker_storage_driver", "bogus", "kubernetes", "kubernetes takes overlay2, overlay, fuse-overlayfs"),
        ("docker_storage_driver", "bogus", "swarm", "swarm takes overlay2, overlay, fuse-overlayfs"),
        ("volume_driver", "rexray", "kubernetes", "kubernetes takes cinder only."),
        ("network_driver", "calico", "kubernetes", "kubernetes takes flannel, none only: `none` leaves"),
        ("tls_disabled", True, "kubernetes", "its API would give everything on every node to anyone"),
        ("registry_enabled", True, "swarm", "swarm cannot do it: it has no registry of its own"),
    ],
)
def test_what_a_driver_refuses_is_told_in_one_sentence(field, value, driver, why):
    with pytest.raises(Invalid) as refused:
        check_fields(effects.TEMPLATES, {field: value}, driver)
    assert refused.value.field == field
    shown = "true" if value is True else value
    assert refused.value.detail.startswith(f"Invalid input for field '{field}', value '{shown}': ")
    assert why in refused.value.detail
    assert ". " not in refused.value.detail


def cluster(template=SPEC, **spec) -> Cluster:
    made = builders.cluster(builders.template())
    return replace(made, spec=ClusterSpec(template=template, **spec))


def test_fields_without_effect_are_named_in_a_condition():
    template = replace(SPEC, keypair_id="mine", dns_nameserver="8.8.8.8", docker_storage_driver="devicemapper")
    told = check_effects(
        cluster(template, keypair="mine", master_lb_enabled=True, discovery_url="http://x", docker_volume_size=5)
    )
    assert (told.type, told.status, told.reason) == ("FieldsHonoured", False, "NoEffect")
    for name in ("keypair (nodes are containers", "master_lb_enabled (", "discovery_url (", "docker_volume_size ("):
        assert name in told.message
    assert "docker_storage_driver (" in told.message
    # The Engine asks that server; and what a cluster says itself hides its template's word.
    assert "dns_nameserver" not in told.message
    assert "keypair_id" not in told.message
    on_kubernetes = check_effects(cluster(replace(template, coe="kubernetes"), master_lb_enabled=True))
    assert "dns_nameserver (" in on_kubernetes.message
    assert "master_lb_enabled" not in on_kubernetes.message


@pytest.mark.parametrize("template", [SPEC, replace(SPEC, coe="fake", driver="fake", keypair_id="mine")])
def test_nothing_is_named_where_nothing_is_without_effect(template):
    told = check_effects(cluster(template))
    assert (told.status, told.message) == (True, "")


@pytest.mark.parametrize(
    ("coe", "fields"),
    [
        (SwarmCoe, {"docker_storage_driver": "overlay"}),
        (SwarmCoe, {"docker_storage_driver": "devicemapper"}),
        (SwarmCoe, {"volume_driver": "rexray", "master_lb_enabled": True, "keypair_id": "k"}),
        (KubernetesCoe, {"volume_driver": "cinder", "docker_storage_driver": "devicemapper"}),
    ],
)
def test_what_has_no_effect_is_accepted(coe, fields):
    coe(clock=SystemClock()).check(replace(SPEC, **fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tls_disabled", True),
        ("network_driver", "calico"),
        ("volume_driver", "rexray"),
        ("docker_storage_driver", "bogus"),
        ("insecure_registry", "http://registry:5000"),
        ("insecure_registry", "good:5000, bad/folder"),
    ],
)
def test_fields_that_kubernetes_cannot_honour_are_refused_by_name(field, value):
    with pytest.raises(Invalid, match=field) as refused:
        KubernetesCoe(clock=SystemClock()).check(replace(SPEC, coe="kubernetes", **{field: value}))
    assert refused.value.field == field


@pytest.mark.parametrize(("asked", "written"), [("overlay", "overlay2"), ("devicemapper", None), ("vfs", "vfs")])
def test_a_swarms_engines_get_the_storage_driver_that_they_know(asked, written):
    authority = make_ca(common_name="c", now=builders.NOW)
    member = Member(uuid="1", name="n", role="master", group="default-master", address="10.0.0.2")
    plan = CoePlan(
        cluster_id="c",
        cluster_name="c",
        template=replace(SPEC, docker_storage_driver=asked),
        labels={},
        members=(member,),
        authorities={"main": Authority(pem=authority.pem, key=authority.key)},
    )
    files = SwarmCoe(clock=SystemClock()).build_script(plan, member).files
    [config] = [file for file in files if file.path.endswith("daemon.json")]
    assert json.loads(config.content).get("storage-driver") == written


@pytest.mark.parametrize(
    ("driver_rules", "spec", "accepted"),
    [
        (effects.TEMPLATES, TemplateSpec, template_fields.EFFECTS),
        (effects.CLUSTERS, ClusterSpec, cluster_fields.EFFECTS),
        (effects.NODE_GROUPS, NodeGroupSpec, group_fields.EFFECTS),
    ],
)
def test_the_rules_of_drivers_are_about_attributes_of_the_spec_that_requests_set(driver_rules, spec, accepted):
    assert set(driver_rules) <= {field.name for field in fields(spec)}
    assert {name for name, rules in accepted.items() if effects.SERVICE not in rules} == set(driver_rules)


def test_every_accepted_field_of_a_container_reaches_the_spec():
    """But for its name, which is the container's own. The domain is the registry's, addresses are its ports'."""
    attributes = {field.name for field in fields(ContainerSpec)} - {"registry_domain", "addresses"}
    accepted = {field.attribute or field.name for field in container_fields.ACCEPTED.values()} - {"name"}
    assert accepted == attributes


def test_every_attribute_of_the_spec_is_shown_or_named_as_hidden():
    shown = {field.name for field in container_fields.FIELDS if field.type is not None}
    attributes = {field.name for field in fields(ContainerSpec)}
    assert attributes - shown == container_fields.HIDDEN
    assert all(field.effect for field in container_fields.ACCEPTED.values())
