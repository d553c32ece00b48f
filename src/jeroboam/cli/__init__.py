"""The command `jeroboam`. A thin layer: it reads options, calls bootstrap or the published API, and prints.

Neighbours: `terminal`, the common code of commands; `up`, the start and the end of the service; `clusters` and
`containers`, the commands of users; `own_clusters`, what these need beside the API; `node_images`.
"""

import asyncio
import sys
from importlib.metadata import version as read_version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.completion import (  # type: ignore[attr-defined]  # it has them, and exports nothing
    completion_init,
    get_completion_script,
)

from jeroboam import settings as options
from jeroboam.cli import config as config_commands
from jeroboam.cli import containers, doctor, down, own_clusters, setup, systemd, up
from jeroboam.cli.clusters import changes, create, kubeconfig, lists, nodes
from jeroboam.cli.help import CONTEXT, UserCommand, build_group
from jeroboam.cli.node_images import images
from jeroboam.cli.own_command import format_command
from jeroboam.cli.terminal import (
    Config,
    Output,
    OutputFormat,
    State,
    report_errors,
    show_json,
    show_line,
    show_table,
)

PROGRAM = "jeroboam"
_PASS_THROUGH = {"allow_interspersed_args": False}
"""Arguments behind the first one are passed on unchanged; options before it are ours."""

app = typer.Typer(
    cls=build_group(
        {
            "Start": ["setup", "up", "stop", "status", "doctor"],
            "Clusters": ["cluster", "kubectl"],
            "Containers": ["run", "ps", "logs", "exec", "rm"],
            "Operation": ["config", "policy", "node-image", "systemd-unit", "down", "completion"],
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    help="Clusters of Kubernetes and Docker Swarm, and containers, on this machine or on a cloud.",
)
policies = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may do what, and why.")
clusters = typer.Typer(
    cls=build_group(
        {
            "Life": ["create", "list", "scale", "upgrade", "delete"],
            "Use": ["kubeconfig", "load-image", "check"],
            "Nodes": ["nodes", "logs", "shell"],
        }
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Clusters of Kubernetes and Docker Swarm.\n\n"
        "Who you are is what OS_CLOUD or OS_* say, else the member of this machine's installation."
    ),
)
app.add_typer(clusters, name="cluster")
app.add_typer(images, name="node-image")
app.add_typer(policies, name="policy")
app.add_typer(config_commands.configs, name="config")
clusters.command("create", cls=UserCommand)(create.create_cluster)
clusters.command("list", cls=UserCommand)(lists.list_clusters)
clusters.command("scale", cls=UserCommand)(changes.scale_cluster)
clusters.command("upgrade", cls=UserCommand)(changes.upgrade_cluster)
clusters.command("delete", cls=UserCommand)(changes.delete_cluster)
clusters.command("kubeconfig", cls=UserCommand)(kubeconfig.write_kubeconfig)
clusters.command("load-image", cls=UserCommand)(own_clusters.load_images)
clusters.command("check", cls=UserCommand)(own_clusters.check_cluster)
clusters.command("nodes", cls=UserCommand)(lists.list_nodes)
clusters.command("logs", cls=UserCommand)(nodes.show_node_logs)
clusters.command("shell", cls=UserCommand, context_settings=_PASS_THROUGH)(nodes.open_node_shell)
app.command("setup", cls=UserCommand)(setup.set_up_machine)
app.command("up", cls=UserCommand)(up.start_service)
app.command("stop", cls=UserCommand)(up.stop_service)
app.command("systemd-unit", cls=UserCommand)(systemd.show_unit)
app.command("down", cls=UserCommand)(down.remove_installation)
app.command("doctor", cls=UserCommand)(doctor.doctor)
app.command("kubectl", cls=UserCommand, context_settings=_PASS_THROUGH)(own_clusters.kubectl)
app.command("run", cls=containers.ContainerCommand, context_settings=_PASS_THROUGH)(containers.run_container)
app.command("ps", cls=UserCommand)(containers.list_containers)
app.command("logs", cls=UserCommand)(containers.show_logs)
app.command("exec", cls=containers.ContainerCommand, context_settings=_PASS_THROUGH)(containers.execute_in_container)
app.command("rm", cls=UserCommand)(containers.remove_containers)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        show_line(f"{PROGRAM} {read_version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def set_global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the options of no command."""
    del version


@app.command("completion", cls=UserCommand)
def show_completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")],
) -> None:
    """Print the completion for bash, zsh or fish.

    For bash: jeroboam completion bash >> ~/.bashrc
    """
    with report_errors():
        if shell not in ("bash", "zsh", "fish"):
            raise ValueError(f"{shell}: there is completion for bash, zsh and fish")
        print(get_completion_script(prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell))


@app.command(cls=UserCommand)
def status(output: Output = OutputFormat.TABLE, state: State = None, config: Config = None) -> None:
    """Show whether the service runs, and all that it holds.

    That is clusters, containers, hosts and processes of all projects. It works while the service is down, too.
    """
    with report_errors():
        settings = options.load(config, state=state)
        from jeroboam.bootstrap.state import StateFolder  # noqa: PLC0415
        from jeroboam.bootstrap.upkeep import read_summary  # noqa: PLC0415

        folder = StateFolder(settings.state)
        folder.check_exists()
        process = folder.find_process()
        service = {"status": "down" if process is None else "up", "process": process, **folder.addresses()}
        content = {"service": service, **_describe_summary(asyncio.run(read_summary(settings)))}
    if output is OutputFormat.JSON:
        show_json(content)
        return
    start = f"start it with: {format_command('up', settings.state, config=config)}"
    where = start if process is None else f"process {process}, {service.get('api', '')}"
    show_line(f"service: {service['status']} ({where})")
    for title in ("clusters", "containers", "hosts", "processes"):
        if content[title]:
            show_line()
            rows = [[str(value or "") for value in item.values()] for item in content[title]]
            show_table([column.replace("_", " ") for column in content[title][0]], rows, title=title)


def _describe_summary(summary: Any) -> dict[str, Any]:
    """Return a summary of an installation as JSON has it."""
    return {
        **{
            title: [
                {"name": line.name, "uuid": line.uuid, "size": line.size, "status": line.status, "reason": line.reason}
                for line in lines
            ]
            for title, lines in (("clusters", summary.clusters), ("containers", summary.containers))
        },
        "hosts": [
            {
                "host": host.hostname,
                "cores": host.facts.cpus,
                "memory": f"{host.facts.mem_total} MiB",
                "trouble": host.runtime_error,
            }
            for host in summary.hosts
        ],
        "processes": [
            {
                "process": service.binary,
                "host": service.host,
                "last_seen": f"{service.last_seen:%FT%TZ}" if service.last_seen else None,
            }
            for service in summary.services
        ],
    }


@policies.command("explain", cls=UserCommand)
def explain_policy(
    user: Annotated[str, typer.Argument(help="Name or id.")],
    action: Annotated[str, typer.Argument(help="A policy rule, such as cluster:create.")],
    target: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="A cluster, a template, or template=swarm,node_count=5.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project that the user acts in.", metavar="PROJECT")] = None,
    state: State = None,
    config: Config = None,
) -> None:
    """Say whether a user may do that, and which rule and limits say so. Exit status 1 if not."""
    with report_errors():
        from jeroboam.bootstrap.explain import explain  # noqa: PLC0415

        settings = options.load(config, state=state)
        explanation = asyncio.run(explain(settings, user, action, target, project))
        for line in explanation.lines:
            show_line(line)
        sys.exit(0 if explanation.is_allowed else 1)


@policies.command("check", cls=UserCommand)
def check_policy_file(
    file: Annotated[Path, typer.Argument(help="A policy.yaml, or a file of limits.", metavar="FILE")],
) -> None:
    """Say whether a policy.yaml or a file of limits is well formed.

    Before the service is started with it. Exit status 1 if anything is wrong, with a line for each fault.
    """
    with report_errors():
        from jeroboam.bootstrap.policy import check_file  # noqa: PLC0415

        faults, summary = check_file(str(file))
        for line in faults or [summary]:
            show_line(line)
        sys.exit(1 if faults else 0)


def main() -> None:
    """The entry point."""
    completion_init()
    app(prog_name=PROGRAM)
