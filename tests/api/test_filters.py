"""Lists that are narrowed and counted: by which words, carried to the next page, and never beyond what one may see."""

from dataclasses import replace

import pytest

from jeroboam.domain.clusters import Health
from tests.api.loops import settle


@pytest.fixture
async def three(infra, make, store):
    template = (await make.template(name="swarm-a", labels={"tier": "gold"}))["uuid"]
    other = (await make.template(name="swarm-b", coe="mesos"))["uuid"]
    made = [
        await make.cluster(name="one", cluster_template_id=template, labels={"team": "a", "x": "1"}),
        await make.cluster(name="two", cluster_template_id=template, labels={"team": "b"}),
        await make.cluster(name="three", cluster_template_id=other, labels={"team": "a"}),
    ]
    await settle(store, made[1])
    async with store.write() as tx:
        cluster = await tx.clusters.get(made[1])
        seen = replace(cluster.observed, health_status=Health.HEALTHY)
        await tx.clusters.update(replace(cluster, observed=seen))
    return made


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=one", ["one"]),
        ("status=CREATE_COMPLETE", ["two"]),
        ("status=CREATE_COMPLETE,CREATE_IN_PROGRESS", ["one", "two", "three"]),
        ("coe=swarm", ["one", "two"]),
        ("label=team", ["one", "two", "three"]),
        ("label=team%3Da", ["one", "three"]),
        ("label=team=a,x=1", ["one"]),
        ("label=team=a&label=x", ["one"]),
        ("health_status=HEALTHY", ["two"]),
        ("cluster_template_id=swarm-b", ["three"]),
        ("label=team=a&coe=swarm&name=three", []),
    ],
)
@pytest.mark.parametrize("path", ["/v1/clusters", "/v1/clusters/detail"])
async def test_clusters(infra, three, path, query, names):
    body = (await infra.get(f"{path}?{query}&with_count=true")).json()
    assert [cluster["name"] for cluster in body["clusters"]] == names
    assert body["total_count"] == len(names)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=CREATING", "status"),
        ("health_status=WELL", "health_status"),
        ("label==a", "label"),
        ("label=%22", "label"),
        ("label=a%5C=1", "label"),
        ("with_count=perhaps", "with_count"),
    ],
)
async def test_a_word_that_no_cluster_can_have_is_refused(infra, query, field):
    answer = await infra.get(f"/v1/clusters?{query}")
    assert answer.status == 400
    assert field in answer.error["detail"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=swarm-a", ["swarm-a"]),
        ("coe=mesos", ["swarm-b"]),
        ("driver=fake", ["swarm-a", "swarm-b"]),
        ("public=true", []),
        ("public=no&hidden=no", ["swarm-a", "swarm-b"]),
        ("label=tier=gold", ["swarm-a"]),
    ],
)
async def test_templates(infra, three, query, names):
    body = (await infra.get(f"/v1/clustertemplates?{query}&with_count=1")).json()
    assert [template["name"] for template in body["clustertemplates"]] == names
    assert body["total_count"] == len(names)
    assert (await infra.get("/v1/clustertemplates?public=maybe")).status == 400


async def test_the_total_is_of_all_pages_and_the_next_page_is_narrowed_too(infra, three):
    body = (await infra.get("/v1/clusters?label=team=a&label=team&limit=1&with_count=true")).json()
    assert (len(body["clusters"]), body["total_count"]) == (1, 2)
    assert body["next"].count("label=") == 2
    rest = (await infra.get(body["next"].removeprefix("http://cloud:9511/container-infra"))).json()
    assert ([cluster["name"] for cluster in rest["clusters"]], rest["total_count"]) == (["three"], 2)


async def test_nobody_is_told_a_total_who_did_not_ask(infra, three):
    for path in ("clusters", "clusters/detail", "clustertemplates", "clusters/one/nodegroups"):
        assert "total_count" not in (await infra.get(f"/v1/{path}")).json()


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize(
    "value", ["%00", "a%00", "%27", "%22", "%5C", "%25", "%C3%A4", "%ED%A0%80", "%FF", ";", "x" * 999]
)
async def test_strange_words_are_no_bug_of_ours(infra, make, store, value):
    await make.cluster()
    lists = {
        "clusters": ("name", "status", "coe", "label", "health_status", "cluster_template_id", "with_count", "marker"),
        "clustertemplates": ("name", "coe", "driver", "public", "hidden", "label", "sort_key", "sort_dir"),
        "events": ("cluster", "event_type", "nodegroup", "since", "limit"),
        "clusters/c/nodegroups": ("role",),
    }
    for path, names in lists.items():
        for name in names:
            answer = await infra.get(f"/v1/{path}?{name}={value}")
            assert answer.status in {200, 400, 404}, answer.body
            assert answer.status == 400 or "%00" not in value


async def test_groups_by_role(infra, three):
    body = (await infra.get("/v1/clusters/one/nodegroups?role=worker&with_count=true")).json()
    assert ([group["role"] for group in body["nodegroups"]], body["total_count"]) == (["worker"], 1)


async def test_a_stranger_finds_and_counts_nothing(infra, three):
    body = (await infra.as_("stranger").get("/v1/clusters?label=team&with_count=true")).json()
    assert body == {"clusters": [], "total_count": 0}
    body = (await infra.as_("admin").get("/v1/clusters?label=team&with_count=true")).json()
    assert body["total_count"] == 3


async def test_the_published_refusal_of_an_unknown_argument_stands(infra):
    answer = await infra.get("/v1/clusters?flavor=x")
    assert (answer.status, answer.error["detail"]) == (400, 'Unknown argument: "flavor"')


@pytest.mark.parametrize("name", ["label", "coe"])
async def test_a_list_is_narrowed_by_some_hundred_words_at_most(infra, make, name):
    await make.cluster(labels={f"k{number}": "1" for number in range(200)})
    many = ",".join(f"k{number}" for number in range(200))
    assert (await infra.get(f"/v1/clusters?{name}={many}")).status == 200
    # The same ones again are no more.
    assert (await infra.get(f"/v1/clusters?{name}={many}&{name}={many}")).status == 200
    refused = await infra.get(f"/v1/clusters?{name}={many}&{name}=more")
    assert (refused.status, "at most 200" in refused.error["title"]) == (400, True)
