"""Commands that change a cluster or remove it. Neighbours: `create`; `progress`; `requests`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from jeroboam.cli.clusters import requests
from jeroboam.cli.clusters.definition import check_version
from jeroboam.cli.clusters.kubeconfig_file import KubeconfigFile, list_kubeconfigs
from jeroboam.cli.clusters.progress import ClusterProgress
from jeroboam.cli.session import ask_infra, do_for_all
from jeroboam.cli.terminal import Config, ShowApi, State, Wait, report_errors, show_api_command, show_line
from jeroboam.clients.container_infra import ContainerInfraClient

_WHOLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})

ClusterArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name or uuid.")]


def delete_cluster(
    clusters: Annotated[list[str], typer.Argument(metavar="CLUSTER", help="Names or uuids.")],
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Remove clusters, and their contexts from your kubeconfig."""
    if show_api:
        show_api_command(["coe", "cluster", "delete", *clusters])
        return
    ask_infra(lambda infra: _delete(infra, clusters, wait=wait), state=state, config=config)


async def _delete(infra: ContainerInfraClient, idents: list[str], *, wait: bool) -> None:
    async def delete(ident: str) -> None:
        cluster = await infra.show_cluster(ident)
        uuid = cluster["uuid"]
        if len(idents) > 1:
            show_line(f"{cluster['name']}:")
        with ClusterProgress(infra) as progress:
            await progress.skip_past(uuid)
            await infra.delete_cluster(uuid, name=ident)
            remove_contexts(uuid)
            if wait:
                await progress.wait(uuid)

    await do_for_all(delete, idents)


def remove_contexts(uuid: str) -> None:
    """Remove the contexts of a cluster from the user's kubeconfig, and say which."""
    for path in list_kubeconfigs():
        try:
            for context in KubeconfigFile(path).remove(uuid):
                show_line(f"context {context} is no more in {path}")
        except (ValueError, OSError) as error:
            # The cluster goes all the same.
            show_line(f"its context stays: {error}")


def scale_cluster(
    cluster: ClusterArgument,
    workers: Annotated[int, typer.Argument(min=0, help="How many nodes the group is to have.")],
    group: Annotated[
        str | None, typer.Option(help="A node group; the first workers without it.", metavar="GROUP")
    ] = None,
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Give a cluster another number of workers."""
    if show_api:
        flags = [] if group is None else ["--nodegroup", group]
        show_api_command(["coe", "cluster", "resize", *flags, cluster, workers])
        return
    wish = {"node_count": workers} | ({} if group is None else {"nodegroup": group})

    async def scale(infra: ContainerInfraClient) -> None:
        uuid = (await infra.show_cluster(cluster))["uuid"]
        with ClusterProgress(infra) as progress:
            await progress.skip_past(uuid)
            await infra.resize_cluster(uuid, wish, name=cluster)
            if wait:
                await progress.wait(uuid)

    ask_infra(scale, state=state, config=config)


def upgrade_cluster(
    cluster: ClusterArgument,
    version: Annotated[str | None, typer.Option(help="Of Kubernetes, as v1.36.3.", metavar="VERSION")] = None,
    template: Annotated[
        str | None, typer.Option(help="A cluster template, in place of a version.", metavar="TEMPLATE")
    ] = None,
    batch: Annotated[int, typer.Option(help="How many workers are replaced at once.", min=1, metavar="N")] = 1,
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Move a cluster to another version, node by node.

    A template with that version is used, or made where there is none.
    """
    with report_errors():
        if (version is None) == (template is None):
            raise ValueError("say where to: --version v1.36.3, or --template NAME")
        if version is not None:
            check_version(version)

    async def upgrade(infra: ContainerInfraClient) -> None:
        current = await infra.show_cluster(cluster)
        if version is not None and _runs(current, version) and not show_api:
            show_line(f"{current['name']} runs {version} already; nothing was changed")
            return
        target, missing = await _choose_target(infra, current, version=version, template=template)
        if show_api:
            if missing is not None:
                show_api_command(requests.format_create_template(missing))
            show_api_command(["coe", "cluster", "upgrade", "--max-batch-size", batch, cluster, target])
            return
        if missing is not None:
            target = (await infra.create_template(missing))["uuid"]
        with ClusterProgress(infra) as progress:
            await progress.skip_past(current["uuid"])
            wish = {"cluster_template": target, "max_batch_size": batch}
            await infra.upgrade_cluster(current["uuid"], wish, name=cluster)
            if not wait:
                return
            after = await progress.wait(current["uuid"])
        if after is not None:
            show_line(f"{after['name']} runs {after.get('coe_version')}")

    ask_infra(upgrade, state=state, config=config)


def _runs(cluster: Mapping[str, Any], version: str) -> bool:
    """Whether all of the cluster has that version: one whose upgrade has failed or goes on may be asked again."""
    return cluster.get("coe_version") == version and cluster["status"] in _WHOLE


async def _choose_target(
    infra: ContainerInfraClient, cluster: Mapping[str, Any], *, version: str | None, template: str | None
) -> tuple[str, Mapping[str, Any] | None]:
    """Return the template to go to, and what has to be created for that; None if it is there."""
    if template is not None or version is None:
        return str(template), None
    current = await infra.show_template(cluster["cluster_template_id"])
    if current["coe"] != "kubernetes":
        raise ValueError(f"--version: {cluster['name']} is a cluster of {current['coe']}; name a --template")
    wish = requests.build_version_template(current, version)
    match = requests.choose_version_template(await infra.list_templates(), wish)
    return (str(wish["name"]), wish) if match is None else (str(match["uuid"]), None)
