"""The passwords of proxies in cluster templates and baymodels: who sees them, and that a mask is never stored."""

import pytest

pytestmark = pytest.mark.security

URL = "http://user:secretpw@proxy.example:3128"
MASKED = "http://***@proxy.example:3128"


def change(path, value):
    return {"op": "replace", "path": path, "value": value}


async def proxies_of(client, path):
    body = (await client.get(path)).json()
    return body["http_proxy"], body["https_proxy"]


async def test_one_template_shows_the_password_to_its_own_project_alone(infra, make):
    created = await make.template(http_proxy=URL, https_proxy=URL)
    assert created["http_proxy"] == URL
    admin = infra.as_("admin")
    for old, new in ((infra, admin), (infra.at("1.1"), admin.at("1.1"))):
        for kind in ("clustertemplates", "baymodels"):
            path = f"/v1/{kind}/{created['uuid']}"
            assert await proxies_of(old, path) == (URL, URL)
            assert await proxies_of(new, path) == (MASKED, MASKED)


async def test_other_projects_see_the_mask_of_a_public_template(infra, make):
    template = await make.template(infra.as_("admin"), public=True, http_proxy=URL, https_proxy=URL)
    for kind in ("clustertemplates", "baymodels"):
        assert await proxies_of(infra, f"/v1/{kind}/{template['uuid']}") == (MASKED, MASKED)


@pytest.mark.parametrize("path", ["clustertemplates", "clustertemplates/detail", "baymodels", "baymodels/detail"])
async def test_no_list_shows_the_password(infra, make, path):
    await make.template(http_proxy=URL, https_proxy=URL)
    for client in (infra, infra.as_("admin")):
        answer = await client.get(f"/v1/{path}")
        assert answer.status == 200
        assert b"secretpw" not in answer.body
        assert answer.body.count(MASKED.encode()) == (0 if path == "baymodels" else 2)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://user@proxy.example", "http://***@proxy.example"),
        ("http://user:secret/pw@proxy.example", "http://***@proxy.example"),
        ("http://user:secret@pw@proxy.example", "http://***@proxy.example"),
        ("http://user:secret//pw@proxy.example", "http://***@proxy.example"),
        ("user:secretpw@proxy.example:3128", "***@proxy.example:3128"),
    ],
)
async def test_the_mask_hides_a_password_of_any_spelling(infra, make, url, masked):
    await make.template(http_proxy=url)
    [listed] = (await infra.get("/v1/clustertemplates")).json()["clustertemplates"]
    assert listed["http_proxy"] == masked


@pytest.mark.parametrize("who", ["member", "admin"])
async def test_a_patch_keeps_the_password_also_where_the_masked_object_comes_back(infra, make, who):
    template = await make.template(http_proxy=URL, https_proxy=URL)
    client, path = infra.as_(who), f"/v1/clustertemplates/{template['uuid']}"
    assert (await client.patch(path, [change("/labels", '{"a": "b"}')])).status == 200
    assert await proxies_of(infra, path) == (URL, URL)
    [listed] = (await client.get("/v1/clustertemplates")).json()["clustertemplates"]
    names = ("name", "coe", "image_id", "http_proxy", "https_proxy")
    answer = await client.patch(path, [change(f"/{name}", listed[name]) for name in names])
    assert answer.status == 200, answer.body
    assert answer.json()["http_proxy"] == (URL if who == "member" else MASKED)
    assert await proxies_of(infra, path) == (URL, URL)


async def test_a_mask_that_stands_for_no_password_is_refused(infra, make):
    template = await make.template(http_proxy=URL)
    path = f"/v1/clustertemplates/{template['uuid']}"
    for field, value in (("http_proxy", "http://***@elsewhere.example:3128"), ("https_proxy", MASKED)):
        answer = await infra.patch(path, [change(f"/{field}", value)])
        assert (answer.status, f"'{field}'" in answer.error["detail"]) == (400, True)
    assert await proxies_of(infra, path) == (URL, None)
    for kind in ("clustertemplates", "baymodels"):
        body = {"name": "n", "coe": "swarm", "image_id": "i", "http_proxy": MASKED}
        answer = await infra.post(f"/v1/{kind}", body)
        assert (answer.status, "'http_proxy'" in answer.error["detail"]) == (400, True)
