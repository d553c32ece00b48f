"""What `jeroboam run` shows while it waits, whatever the reason says."""

from types import SimpleNamespace

from jeroboam.cli.containers import _run
from jeroboam.clients.container import ContainerClient
from jeroboam.clients.openstack import OpenStackApi


async def test_a_reason_is_a_text_and_no_markup():
    shown = {"uuid": "u", "name": "box", "task_state": None}
    answers = iter(
        (shown | {"status": "Creating", "status_reason": "waits for [/registry]"}, shown | {"status": "Running"})
    )

    def request(url, method, *, raise_exc, headers, json=None):
        answer = next(answers)
        return SimpleNamespace(status_code=200, content=b"{}", json=lambda: answer)

    zun = ContainerClient(OpenStackApi(SimpleNamespace(request=request), service="container"))
    assert (await _run(zun, {"image": "busybox"}, wait=True))["status"] == "Running"
