"""Checks that pods reach each other: across nodes, by services, by node ports, by names.

Neighbours: `site`, whose servers on every node answer.
"""

from collections.abc import Sequence
from itertools import pairwise

from jeroboam.checks.base import ClusterCheck
from jeroboam.checks.manifests import PORT, service
from jeroboam.checks.site import WEB, CheckContext, CheckFailed, CheckSkipped, RunningPod

_DOMAIN = "svc.cluster.local"
_HTTP = 80
# The number of nodes to ask where asking every node would take long.
_SOME = 5
# A Service with two pods gives all these answers from one pod once in a billion runs.
_TRIES = 30


async def _pod_network(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    if len(pods) < 2:  # noqa: PLR2004
        raise CheckSkipped("one node only has pods")
    around = [*pairwise(pods), (pods[-1], pods[0])]
    for client, server in around:
        await _answers(site, client, server.address, [server.name], f"{client.node} to {server.node}", port=PORT)
    return f"{len(around)} ways"


async def _service(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    address = await _cluster_address(site, "vip", WEB)
    for client in pods[:_SOME]:
        description = f"service address {address} from {client.node}"
        await _answers(site, client, address, _names(pods), description)
        answers = await site.ask(client, address, _HTTP, times=_TRIES)
        if len(answers) < _TRIES or not set(answers) <= set(_names(pods)):
            raise CheckFailed(
                f"{description}: of {_TRIES} times it answered {len(answers)}: {', '.join(sorted(set(answers)))}"
            )
        if len(set(answers)) < min(2, len(pods)):
            raise CheckFailed(f"{description}: {_TRIES} answers, all of {answers[0]}")
    return ""


async def _node_port(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    await site.apply(service("port", WEB, type="NodePort"))
    port_service = await site.get("Service", "port")
    port = port_service["spec"]["ports"][0]["nodePort"]
    nodes = [node for node in site.nodes if node.is_ready][:_SOME]
    for node in nodes:
        client = next((pod for pod in pods if pod.node != node.name), pods[0])
        await _answers(site, client, node.address, _names(pods), f"port {port} of node {node.name}", port=port)
    return f"port {port} of {len(nodes)} nodes"


async def _dns(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    address = await _cluster_address(site, "named", WEB)
    await _finds(site, pods[0], f"named.{site.namespace}.{_DOMAIN}", {address})
    for client in pods[:_SOME]:
        for name in ("named", f"named.{site.namespace}", f"named.{site.namespace}.{_DOMAIN}"):
            await _answers(site, client, name, _names(pods), f"{name} from {client.node}")
    kubernetes = await site.api.get("/api/v1/namespaces/default/services/kubernetes", "asking for service kubernetes")
    await _finds(site, pods[0], f"kubernetes.default.{_DOMAIN}", {kubernetes["spec"]["clusterIP"]})
    output = await site.run(pods[0], "nslookup", "-type=a", f"nobody.{site.namespace}.{_DOMAIN}")
    if "NXDOMAIN" not in output.stdout + output.stderr:
        raise CheckFailed(f"a name that nobody has is found: {output.stdout}{output.stderr}")
    return ""


async def _headless(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    await site.apply(service("each", WEB, clusterIP="None"))
    await _finds(site, pods[0], f"each.{site.namespace}.{_DOMAIN}", {pod.address for pod in pods})
    return f"{len(pods)} addresses"


def _names(pods: Sequence[RunningPod]) -> list[str]:
    return [pod.name for pod in pods]


async def _cluster_address(site: CheckContext, name: str, app: str) -> str:
    await site.apply(service(name, app))
    return str((await site.get("Service", name))["spec"]["clusterIP"])


async def _answers(
    site: CheckContext, client: RunningPod, host: str, good: Sequence[str], description: str, *, port: int = _HTTP
) -> None:
    """Wait until one of these pods answers. Rules take a moment to reach every node."""

    async def look() -> list[str]:
        return await site.ask(client, host, port)

    await site.until(description, look, lambda answers: answers and answers[0] in good)


async def _finds(site: CheckContext, client: RunningPod, name: str, addresses: set[str]) -> None:
    """Wait until the name has exactly these addresses."""

    async def look() -> set[str]:
        output = await site.run(client, "nslookup", "-type=a", name)
        lines = output.stdout.partition("Name:")[2].splitlines()
        return {line.split()[-1] for line in lines if line.startswith("Address")}

    await site.until(f"addresses of {name} from {client.node}", look, lambda answer: answer == addresses)


CHECKS = (
    ClusterCheck(name="pod-network", about="pods reach pods on other nodes", run=_pod_network),
    ClusterCheck(name="service", about="a service's address answers, from every pod behind it", run=_service),
    ClusterCheck(name="node-port", about="a NodePort answers on every node", run=_node_port),
    ClusterCheck(name="dns", about="services are found by their names, and nobody by others", run=_dns),
    ClusterCheck(name="headless", about="a headless service's name has the address of each pod", run=_headless),
)
