"""`jeroboam cluster kubeconfig`. Neighbour: `kubeconfig_file`, which keeps everything else in the file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jeroboam.cli.clusters.changes import ClusterArgument
from jeroboam.cli.clusters.kubeconfig_file import KubeconfigFile, default_kubeconfig, list_kubeconfigs
from jeroboam.cli.session import ask_infra
from jeroboam.cli.terminal import Config, ShowApi, State, show_api_command, show_json, show_line
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.clients.kubeconfig import build_kubeconfig


def write_kubeconfig(
    cluster: ClusterArgument,
    context: Annotated[str | None, typer.Option(help="Its name; jeroboam-NAME without it.", metavar="CONTEXT")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Another file than kubectl's own.", metavar="FILE")
    ] = None,
    switch: Annotated[bool, typer.Option("--switch/--no-switch", help="Make it kubectl's current context.")] = True,
    print_only: Annotated[bool, typer.Option("--print", help="Print a kubeconfig, and write no file.")] = False,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Add a Kubernetes cluster to your kubeconfig.

    It gets a new certificate of yours. The file is $KUBECONFIG or ~/.kube/config. Everything else in it
    stays, and `cluster delete` removes the context again.
    """
    if show_api:
        show_api_command(["coe", "cluster", "config", cluster])
        return

    async def write(infra: ContainerInfraClient) -> None:
        view = await infra.cluster(cluster)
        if view.coe != "kubernetes":
            raise ValueError(f"cluster {view.name} is a cluster of {view.coe}: kubectl cannot use it")
        name = context or f"jeroboam-{view.name}"
        content = build_kubeconfig(cluster=name, user=name, context=name, access=await infra.access(view))
        if print_only:
            show_json(content)
            return
        target = KubeconfigFile(file or default_kubeconfig())
        target.add(name, content, uuid=view.uuid, make_current=switch)
        is_read_by_kubectl = target.path.resolve() in [path.resolve() for path in list_kubeconfigs()]
        show_line(f"context {name} is in {target.path}")
        if not is_read_by_kubectl:
            show_line("kubectl reads that file, and `cluster delete` removes the context, where $KUBECONFIG names it")
        file_flag = "" if is_read_by_kubectl else f" --kubeconfig {shlex.quote(str(target.path))}"
        show_line(f"try: kubectl{file_flag} --context {shlex.quote(name)} get nodes")

    ask_infra(write, state=state, config=config)
