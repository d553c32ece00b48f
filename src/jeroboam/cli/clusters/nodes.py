"""Commands that look into a node: its log, and a shell on it.

The published API has neither. A node of the provider `local` is a container of this machine's Docker Engine, so they
take its name from the API and are `docker logs` and `docker exec`, which replace this process. Neighbour: `lists`.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jeroboam import settings as options
from jeroboam.cli.engine import describe_other_engine
from jeroboam.cli.help import drop_separator
from jeroboam.cli.session import ask_infra
from jeroboam.cli.terminal import Config, State, report_errors, show_line
from jeroboam.clients.container_infra import ContainerInfraClient

_NAME_LETTERS = 8
NodeArgument = Annotated[str, typer.Argument(help="Name, as `cluster nodes` shows it, or uuid.")]
OfCluster = Annotated[
    str | None, typer.Option("--cluster", help="Its cluster; all are searched without it.", metavar="CLUSTER")
]
ShowDocker = Annotated[
    bool, typer.Option("--show-api", help="Only print the docker command that does the same: no API has it.")
]


def show_node_logs(
    node: NodeArgument,
    cluster: OfCluster = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    tail: Annotated[int | None, typer.Option(help="Of its end so many lines.", min=0, metavar="N")] = None,
    show_api: ShowDocker = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Show what the programs of a node write.

    These are kubelet and containerd, or the Docker Engine. For nodes on this machine's Engine.
    """
    flags = [*(["--follow"] if follow else []), *([] if tail is None else ["--tail", str(tail)])]
    container = _find_container(node, cluster, state=state, config=config)
    _run_docker(["logs", *flags, "--", container], show_only=show_api, state=state, config=config)


def open_node_shell(
    node: NodeArgument,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="Run this in place of a shell.")] = None,
    cluster: OfCluster = None,
    show_api: ShowDocker = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Open a shell on a node, or run a command there.

    Options of ours come before NODE. For nodes on this machine's Engine.
    """
    terminal = ["--interactive", *(["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else [])]
    container = _find_container(node, cluster, state=state, config=config)
    command = ["exec", *terminal, "--", container, *(drop_separator(words or ()) or ["sh"])]
    _run_docker(command, show_only=show_api, state=state, config=config)


def _find_container(node: str, cluster: str | None, *, state: str | None, config: Path | None) -> str:
    """Return the name of the node's container: the provider makes it of the node's name and its uuid."""

    async def find(infra: ContainerInfraClient) -> str:
        clusters = await infra.list_clusters()
        docker_host = _read_docker_host(options.load(config, state=state).docker_url)
        if docker_host and any(shown.get("api_address") == docker_host for shown in clusters):
            raise ValueError(describe_other_engine(docker_host))
        names = [cluster] if cluster else [shown["uuid"] for shown in clusters]
        nodes = [
            candidate
            for name in names
            for group in await infra.list_nodegroups(name)
            for candidate in group.get("nodes", ())
            if node in (candidate["name"], candidate["uuid"])
        ]
        if not nodes:
            raise ValueError(f"there is no node {node}; `jeroboam cluster nodes CLUSTER` shows the names")
        if len(nodes) > 1:
            raise ValueError(f"there are several nodes {node}; say --cluster NAME")
        return f"{nodes[0]['name']}.{nodes[0]['uuid'][:_NAME_LETTERS]}"

    return ask_infra(find, state=state, config=config)


def _run_docker(words: Sequence[str], *, show_only: bool, state: str | None, config: Path | None) -> None:
    if show_only:
        show_line(shlex.join(["docker", *words]))
        return
    with report_errors():
        program = shutil.which("docker")
        if program is None:
            raise ValueError("the program docker is not installed: it reaches nodes on this machine's Docker Engine")
        url = options.load(config, state=state).docker_url
        sys.stdout.flush()
        # It replaces this process: terminal, signals, exit status.
        os.execve(program, ["docker", *words], _build_environment(url))  # noqa: S606


def _read_docker_host(url: str | None) -> str:
    """Return the DOCKER_HOST that `docker` would use; empty if an option names the Engine."""
    return "" if url else os.environ.get("DOCKER_HOST", "")


def _build_environment(url: str | None) -> dict[str, str]:
    if not url:
        return dict(os.environ)
    # What is said of TLS belongs to the DOCKER_HOST that is replaced.
    kept = {key: value for key, value in os.environ.items() if key not in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")}
    return kept | {"DOCKER_HOST": url}
