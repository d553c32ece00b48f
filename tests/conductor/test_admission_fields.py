"""What a machine's own drivers refuse and take without effect, by the table of fields and by their labels."""

from dataclasses import replace

import pytest

from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import INFRA_LABELS
from jeroboam.providers.fake import FakeProvider
from tests import builders
from tests.clock import ManualClock

CALLER = Caller(user_id="u1", project_id="p1", roles=frozenset({"member"}))


@pytest.fixture
def provider():
    return FakeProvider(installation="i", clock=ManualClock())


@pytest.fixture
def local(provider):
    """The admission of a machine whose provider is called local, with the COEs that there are."""
    images = provider.cloud.offers.images
    images["kubernetes-node"] = replace(images["swarm-node"], id="kubernetes-node")
    coes = {"swarm": SwarmCoe(clock=ManualClock()), "kubernetes": KubernetesCoe(clock=ManualClock())}
    return DriverAdmission(providers={"local": provider}, coes=coes, default_provider="local")


def on(coe, **fields):
    """A template of that COE."""
    base = builders.template()
    return replace(base, spec=replace(base.spec, coe=coe, driver="local", image_id=f"{coe}-node", **fields))


@pytest.mark.parametrize("coe", ["swarm", "kubernetes"])
async def test_a_key_pair_can_be_named_where_nobody_logs_in(local, coe):
    template = on(coe, keypair_id="mine")
    assert (await local.admit_template(template.spec, CALLER)).keypair_id == "mine"
    cluster = builders.cluster(template)
    cluster = replace(cluster, spec=replace(cluster.spec, keypair="another"))
    await local.admit_cluster(cluster, builders.groups(cluster), CALLER)


@pytest.mark.parametrize(
    ("coe", "fields"),
    [
        *(("swarm", {name: "nope"}) for name in ("fixed_network", "fixed_subnet", "network_driver", "volume_driver")),
        ("swarm", {"server_type": "bm"}),
        ("swarm", {"docker_storage_driver": "bogus"}),
        ("kubernetes", {"docker_storage_driver": "bogus"}),
        ("kubernetes", {"fixed_network": "public"}),
        ("kubernetes", {"server_type": "bm"}),
    ],
)
async def test_a_field_that_a_driver_refuses_makes_no_template_and_no_cluster(local, coe, fields):
    [field] = fields
    template = on(coe, **fields)
    with pytest.raises(Invalid) as refused:
        await local.admit_template(template.spec, CALLER)
    assert refused.value.field == field
    # A template may be older than the rule.
    cluster = builders.cluster(template)
    with pytest.raises(Invalid) as refused:
        await local.admit_cluster(cluster, builders.groups(cluster), CALLER)
    assert refused.value.field == field


@pytest.mark.parametrize("tag", ["1.36.3", "v1.36", "latest", "v1.36.3 "])
async def test_a_version_that_cannot_be_is_told_by_its_label_with_those_that_there_are(local, provider, tag):
    images = provider.cloud.offers.images
    images["kubernetes-node"] = replace(images["kubernetes-node"], version="v1.36.3")
    template = on("kubernetes", labels={"kube_tag": tag})
    cluster = builders.cluster(template)
    cluster = replace(cluster, spec=replace(cluster.spec, labels=template.spec.labels))
    [_, group] = builders.groups(cluster)
    group = replace(group, spec=replace(group.spec, labels=template.spec.labels))
    for asked in (
        local.admit_template(template.spec, CALLER),
        local.admit_cluster(cluster, [group], CALLER),
        local.admit_nodegroup(cluster, group, CALLER),
    ):
        with pytest.raises(Invalid) as refused:
            await asked
        assert refused.value.field == "labels/kube_tag"
        assert refused.value.detail == (
            f"Invalid input for field 'labels/kube_tag', value '{tag}': it has to be a version such as v1.36.3; "
            "there is: v1.36.3."
        )


async def test_a_version_that_is_not_there_is_told_by_its_label(local, provider):
    images = provider.cloud.offers.images
    images["kubernetes-node"] = replace(images["kubernetes-node"], unavailable_reason="it was never made")
    cluster = builders.cluster(on("kubernetes"))
    with pytest.raises(Invalid) as refused:
        await local.admit_cluster(cluster, builders.groups(cluster), CALLER)
    assert refused.value.field == "image_id"
    cluster = replace(cluster, spec=replace(cluster.spec, labels={"kube_tag": "v1.2.3"}))
    with pytest.raises(Invalid, match=r"field 'labels/kube_tag', value 'v1\.2\.3': it was never made") as refused:
        await local.admit_cluster(cluster, builders.groups(cluster), CALLER)
    assert refused.value.field == "labels/kube_tag"


@pytest.mark.parametrize("name", INFRA_LABELS)
async def test_a_label_that_local_ignores_may_have_any_value(local, name):
    cluster = builders.cluster(on("swarm"))
    cluster = replace(cluster, spec=replace(cluster.spec, labels={name: "nonsense"}))
    await local.admit_cluster(cluster, builders.groups(cluster), CALLER)


@pytest.mark.parametrize("field", ["fixed_network", "fixed_subnet"])
async def test_a_clusters_own_networks_are_checked_as_its_templates(local, field):
    cluster = builders.cluster(on("swarm"))
    cluster = replace(cluster, spec=replace(cluster.spec, **{field: "nope"}))
    with pytest.raises(Invalid) as refused:
        await local.admit_cluster(cluster, builders.groups(cluster), CALLER)
    assert refused.value.field == field
