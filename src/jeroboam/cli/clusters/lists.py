"""Commands that show clusters and their nodes. Neighbours: `nodes`, which looks into one node."""

from collections.abc import Mapping
from typing import Any

from jeroboam.cli.clusters.changes import ClusterArgument
from jeroboam.cli.session import ask_infra
from jeroboam.cli.terminal import (
    Config,
    Output,
    OutputFormat,
    ShowApi,
    State,
    show_api_command,
    show_json,
    show_table,
)
from jeroboam.clients.container_infra import ContainerInfraClient


def list_clusters(
    output: Output = OutputFormat.TABLE, show_api: ShowApi = False, state: State = None, config: Config = None
) -> None:
    """Show your clusters."""
    if show_api:
        show_api_command(["coe", "cluster", "list"])
        return

    async def read(infra: ContainerInfraClient) -> tuple[list[dict[str, Any]], dict[str, str]]:
        clusters = await infra.list_clusters()
        idents = {cluster["cluster_template_id"] for cluster in clusters}
        return clusters, {ident: str((await infra.show_template(ident))["coe"]) for ident in idents}

    clusters, coes = ask_infra(read, state=state, config=config)
    if output is OutputFormat.JSON:
        show_json([cluster | {"coe": coes[cluster["cluster_template_id"]]} for cluster in clusters])
        return
    rows = [_build_row(cluster, coes[cluster["cluster_template_id"]]) for cluster in clusters]
    show_table(("name", "uuid", "nodes", "status", "runs"), rows)


def _build_row(cluster: Mapping[str, Any], coe: str) -> tuple[str, ...]:
    return (
        cluster["name"],
        cluster["uuid"],
        f"{cluster['master_count']}+{cluster['node_count']}",
        cluster["status"],
        f"{coe} {cluster.get('coe_version') or ''}".rstrip(),
    )


def list_nodes(
    cluster: ClusterArgument,
    output: Output = OutputFormat.TABLE,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Show the nodes of a cluster."""
    if show_api:
        show_api_command(["coe", "nodegroup", "list", cluster])
        return
    groups = ask_infra(lambda infra: infra.list_nodegroups(cluster), state=state, config=config)
    nodes = [{**node, "nodegroup": group["name"]} for group in groups for node in group.get("nodes", ())]
    if output is OutputFormat.JSON:
        show_json(nodes)
        return
    rows = [(node["name"], node["nodegroup"], _describe(node), node["address"] or "") for node in nodes]
    show_table(("name", "group", "state", "address"), rows)


def _describe(node: Mapping[str, Any]) -> str:
    state = "ready" if node["ready"] else str(node["state"])
    return f"{state}: {node['reason']}" if node["reason"] else state
