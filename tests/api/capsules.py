"""Templates of capsules for tests."""


def a_template(*containers: dict, name: str | None = "pod", init: tuple[dict, ...] = (), **spec) -> dict:
    """A template of these containers, or of one that needs nothing; `spec` is what else stands there."""
    metadata = {"labels": {"app": "web"}} | ({} if name is None else {"name": name})
    body = {"containers": list(containers) or [{"image": "busybox"}]} | spec
    if init:
        body["initContainers"] = list(init)
    return {"kind": "capsule", "capsuleVersion": "beta", "metadata": metadata, "spec": body}


async def make_capsule(client, *containers: dict, **spec) -> dict:
    """A capsule, made through the API."""
    answer = await client.post("/v1/capsules/", {"template": a_template(*containers, **spec)})
    assert answer.status == 202, answer.body
    return answer.json()
