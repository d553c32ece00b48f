"""Checks what users do with a pod: run commands, read its log, reach its port, give it configuration.

Neighbours: `site`, whose servers are used where one is enough.
"""

from jeroboam.checks.base import ClusterCheck
from jeroboam.checks.manifests import MARK, PORT, Json, container, data, pod_spec
from jeroboam.checks.site import CheckContext, CheckFailed, is_ready
from jeroboam.clients.kubernetes_quantities import amount
from jeroboam.clients.kubernetes_streams import CommandResult, ask_port

_ASK_SECONDS = 10.0
_EXIT = 7
_MORE = 1 << 20


async def _exec(site: CheckContext) -> str:
    [where, *_] = await site.list_web_pods()
    result = await site.run(where, "sh", "-c", f"cat; echo wrong >&2; exit {_EXIT}", stdin="handed in\n")
    if result != CommandResult(code=_EXIT, stdout="handed in\n", stderr="wrong\n"):
        raise CheckFailed(f"a command that repeats its input, complains and ends with {_EXIT}: {result}")
    return ""


async def _logs(site: CheckContext) -> str:
    [where, *_] = await site.list_web_pods()
    path = f"{site.path('Pod', where.name)}/log"
    line = f"{where.name} serves\n"
    await site.until("what the pod printed", lambda: site.api.text(path, "reading a log"), lambda text: text == line)
    last_line = await site.api.text(f"{path}?timestamps=true&tailLines=1", "reading the end of a log")
    if not (last_line.endswith(line) and last_line[:2] == "20"):
        raise CheckFailed(f"the log with timestamps: {last_line}")
    return ""


async def _port_forward(site: CheckContext) -> str:
    [where, *_] = await site.list_web_pods()
    request = b"GET / HTTP/1.0\r\n\r\n"
    answer = await ask_port(site.api, where.name, PORT, request, namespace=site.namespace, seconds=_ASK_SECONDS)
    if not answer.decode(errors="replace").rstrip().endswith(where.name):
        raise CheckFailed(f"port {PORT} of pod {where.name}: {answer!r}")
    return ""


async def _configuration(site: CheckContext) -> str:
    await site.apply(data("ConfigMap", "settings", {"colour": "green", "shape": "round"}))
    await site.apply(data("Secret", "password", {"word": "sesame"}))
    one = {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}
    other = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "password", "key": "word"}}}
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "password", "secret": {"secretName": "password", "defaultMode": 0o400}},
    ]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}", "readOnly": True} for each in volumes]
    main = container(site.image, "exec sleep 3600", env=[one, other], volumeMounts=mounts)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "configured", "labels": {"app": "configured", MARK: site.namespace}},
        "spec": pod_spec(main, volumes=volumes),
    }
    await site.apply(pod)
    await site.until("a pod with a ConfigMap and a Secret", lambda: site.get("Pod", "configured"), is_ready)
    command = "cat /settings/colour /settings/shape /password/word; echo $COLOUR$WORD; touch /settings/x 2>&1 | wc -l"
    result = await site.run("configured", "sh", "-c", f"{command}; stat -L -c %a /password/word")
    if result.stdout.split() != ["greenroundsesamegreensesame", "1", "400"]:
        raise CheckFailed(f"what the pod sees of them: {result}")
    return ""


async def _too_large(site: CheckContext) -> str:
    nodes = await site.api.get("/api/v1/nodes", "asking the cluster for its nodes")
    largest = max(amount(node["status"]["allocatable"]["memory"]) for node in nodes["items"])
    resources = {"requests": {"memory": str(int(largest) + _MORE)}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "large", "labels": {"app": "large", MARK: site.namespace}},
        "spec": pod_spec(container(site.image, "exec sleep 3600", resources=resources)),
    }
    await site.apply(pod)

    async def look() -> tuple[str, str]:
        current = await site.get("Pod", "large")
        if "nodeName" in current["spec"]:
            raise CheckFailed(f"it came to node {current['spec']['nodeName']}, although no node has so much memory")
        conditions = current["status"].get("conditions") or ()
        condition: Json = next((each for each in conditions if each["type"] == "PodScheduled"), {})
        return condition.get("reason", ""), condition.get("message", "")

    _, message = await site.until("why it is not scheduled", look, lambda condition: condition[0] == "Unschedulable")
    if "Insufficient memory" not in message:
        raise CheckFailed(f"it is not scheduled, and the reason is: {message}")
    return f"the largest node has {largest / (1 << 30):.1f} GiB for pods"


CHECKS = (
    ClusterCheck(name="exec", about="commands run in pods, with input, both outputs and the exit status", run=_exec),
    ClusterCheck(name="logs", about="what pods print can be read", run=_logs),
    ClusterCheck(name="port-forward", about="a pod's port is reached through the API", run=_port_forward),
    ClusterCheck(
        name="too-large", about="a pod that asks for more than a node has waits, and says for what", run=_too_large
    ),
    ClusterCheck(
        name="configuration", about="ConfigMaps and Secrets are files and variables of pods", run=_configuration
    ),
)
