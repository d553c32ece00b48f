"""What users of `docker run` expect, and Zun does not have."""

import pytest

WISH = {
    "image": "busybox",
    "user": "1000:100",
    "ulimits": {"nofile": {"soft": 1024, "hard": 2048}, "core": 0},
    "init": True,
    "read_only": True,
    "tmpfs": {"/run": 64},
    "cap_drop": ["all"],
    "cap_add": ["CAP_CHOWN"],
    "sysctls": {"net.ipv4.tcp_syncookies": 1, "net.ipv4.ip_local_port_range": "1024 65000"},
}


async def test_the_newest_version_takes_and_shows_them(zun):
    created = await zun.post("/v1/containers", WISH)
    assert created.status == 202
    shown = (await zun.get(f"/v1/containers/{created.json()['uuid']}")).json()
    assert {name: shown[name] for name in WISH if name != "image"} == {
        "user": "1000:100",
        "ulimits": {"nofile": {"soft": 1024, "hard": 2048}, "core": {"soft": 0, "hard": 0}},
        "init": True,
        "read_only": True,
        "tmpfs": {"/run": 64},
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN"],
        "sysctls": {"net.ipv4.tcp_syncookies": "1", "net.ipv4.ip_local_port_range": "1024 65000"},
    }
    assert (shown["exit_code"], shown["health"]) == (None, None)


async def test_older_versions_neither_take_nor_see_them(zun):
    older = zun.at("1.39")
    refused = await older.post("/v1/containers", WISH)
    assert (refused.status, refused.error["code"]) == (400, "container.schema-validation-error")
    created = await zun.post("/v1/containers", {"image": "busybox"})
    shown = (await older.get(f"/v1/containers/{created.json()['uuid']}")).json()
    assert not {*WISH, "exit_code", "health"}.difference({"image"}) & shown.keys()
    [listed] = (await zun.get("/v1/containers")).json()["containers"]
    assert "ulimits" not in listed


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"user": "a b"}, "user", "a user or a number"),
        ({"user": "a:b:c"}, "user", "a user or a number"),
        ({"ulimits": {"nosuch": 1}}, "ulimits", "nofile"),
        ({"ulimits": {"nofile": {"soft": 2, "hard": 1}}}, "ulimits/nofile", "more than the hard one, 1"),
        ({"ulimits": {"nofile": {"soft": 2}}}, "ulimits/nofile", "soft and hard"),
        ({"ulimits": [1]}, "ulimits", "an object"),
        ({"tmpfs": {"run": 1}}, "tmpfs/destination", "absolute path"),
        ({"tmpfs": {"/run": 0}}, "tmpfs//run", "1"),
        (
            {"tmpfs": {"/d": 1}, "mounts": [{"size": 1, "destination": "/d"}]},
            "tmpfs",
            "something else is mounted there",
        ),
        ({"cap_drop": ["NOSUCH"]}, "cap_drop", "no capability"),
        ({"sysctls": {"kernel.core_pattern": "|/x"}}, "sysctls/kernel.core_pattern", "containers may set"),
        ({"sysctls": {"net.ipv4.tcp_syncookies": "a"}}, "sysctls/net.ipv4.tcp_syncookies", "a number"),
        ({"init": "yes"}, "init", "true or false"),
    ],
)
async def test_what_cannot_be_is_refused(zun, fields, field, why):
    refused = await zun.post("/v1/containers", {"image": "busybox"} | fields)
    assert refused.status == 400
    assert refused.error["title"].startswith(f"Invalid input for field '{field}', value '")
    assert why in refused.error["title"]


async def test_capabilities_beyond_the_usual_ones_need_the_policy(zun):
    refused = await zun.post("/v1/containers", {"image": "busybox", "cap_add": ["NET_ADMIN"]})
    assert (refused.status, refused.error["code"]) == (403, "container.policy-not-authorized")
