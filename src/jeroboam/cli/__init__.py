"""The command `jeroboam`. A thin layer: it reads options, calls bootstrap and prints.

Neighbours: `terminal`, the common code of commands; `own_clusters`, the commands of a cluster's user.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, Self

import structlog
import typer
import uvloop

from jeroboam import settings as options
from jeroboam.cli import config as config_commands
from jeroboam.cli import doctor as examination
from jeroboam.cli import own_clusters
from jeroboam.cli.doctor import warn_of_engine_fault
from jeroboam.cli.terminal import Config, State, console, report_errors, table

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Container clusters and containers as cloud resources."
)
images = typer.Typer(no_args_is_help=True, help="Images that nodes of clusters boot from.")
app.add_typer(images, name="node-image")
policies = typer.Typer(no_args_is_help=True, help="Who may do what, and why.")
app.add_typer(policies, name="policy")
app.add_typer(config_commands.configs, name="config")
app.add_typer(own_clusters.clusters, name="cluster")
app.command(context_settings=own_clusters.PASS_THROUGH)(own_clusters.kubectl)


def _configure_log(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


@app.command()
def up(
    state: State = None,
    listen: Annotated[str | None, typer.Option(help="ADDRESS:PORT of the API.")] = None,
    keystone_listen: Annotated[str | None, typer.Option(help="ADDRESS:PORT of the embedded Keystone.")] = None,
    config: Config = None,
) -> None:
    """Run everything in the foreground: API, conductor, agent and a Keystone. Ctrl-C ends it; what it made stays."""
    with report_errors():
        settings = options.load(config, state=state, api__listen=listen, keystone__listen=keystone_listen)
        _configure_log(settings.log_level)
        uvloop.run(_up(settings))


async def _up(settings: options.Settings) -> None:
    from jeroboam.bootstrap.state import StateFolder, StateInUse  # noqa: PLC0415

    try:
        with StateFolder(settings.state) as folder:
            keystone = folder.keystone(settings)
            await keystone.start()
            # Loading the service takes as long as starting a Keystone, so both run at the same time.
            from jeroboam.bootstrap.service import SingleProcess, wait_for_stop  # noqa: PLC0415

            async with SingleProcess(settings, folder, keystone).run() as addresses:
                greeting = _format_greeting(settings.state, addresses.api, addresses.keystone)
                # These lines are for pasting: a narrow terminal must not break them.
                console.print(greeting, highlight=False, soft_wrap=True)
                await asyncio.gather(wait_for_stop(), warn_of_engine_fault(settings))
                console.print("draining; clusters and containers stay")
    except StateInUse as error:
        raise ValueError(str(error)) from error


def _format_greeting(state: Path, api: str, keystone: str) -> str:
    return (
        f"jeroboam is up: {api}  (Keystone: {keystone})\n"
        f"  export OS_CLIENT_CONFIG_FILE={state}/clouds.yaml OS_CLOUD=jeroboam\n"
        "  openstack coe cluster template list\n"
        "  openstack coe cluster create --cluster-template swarm --node-count 2 demo\n"
        "  openstack appcontainer run --name hello busybox sleep 600\n"
        "the cloud jeroboam-admin in the same file is the admin; Ctrl-C ends this process and nothing else"
    )


@app.command()
def down(
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Remove every cluster, container and network that this installation made, and its state."""
    with report_errors():
        settings = options.load(config, state=state)
        if not yes:
            typer.confirm(f"Remove everything of the installation in {settings.state}?", abort=True)
        clusters, containers = asyncio.run(_down(settings))
        console.print(f"removed {clusters} clusters, {containers} containers and {settings.state}")


async def _down(settings: options.Settings) -> tuple[int, int]:
    from jeroboam.bootstrap.state import StateFolder, StateInUse  # noqa: PLC0415
    from jeroboam.bootstrap.upkeep import remove  # noqa: PLC0415

    folder = StateFolder(settings.state)
    if not folder.exists:
        raise ValueError(f"there is no installation in {settings.state}")
    try:
        with folder:
            return await remove(settings, folder)
    except StateInUse as error:
        raise ValueError(f"{error}; stop it first (Ctrl-C there, or kill {error.pid})") from error


@app.command()
def status(state: State = None, config: Config = None) -> None:
    """Show clusters, containers, hosts and the service's own processes."""
    with report_errors():
        settings = options.load(config, state=state)
        from jeroboam.bootstrap.state import StateFolder  # noqa: PLC0415
        from jeroboam.bootstrap.upkeep import read_summary  # noqa: PLC0415

        if not StateFolder(settings.state).exists:
            raise ValueError(f"there is no installation in {settings.state}")
        summary = asyncio.run(read_summary(settings))
        for title, lines in (("clusters", summary.clusters), ("containers", summary.containers)):
            rows = [(line.name, line.uuid, line.status, line.size, line.reason) for line in lines]
            table(title, ("name", "uuid", "status", "size", "reason"), rows)
        hosts = [
            (host.hostname, f"{host.facts.cpus} cores", f"{host.facts.mem_total} MiB", host.runtime_error or "")
            for host in summary.hosts
        ]
        table("hosts", ("host", "cores", "memory", "trouble"), hosts)
        beats = [
            (service.binary, service.host, f"{service.last_seen:%F %T}" if service.last_seen else "never")
            for service in summary.services
        ]
        table("loops and agents", ("process", "host", "last sign of life (UTC)"), beats)


app.command()(examination.doctor)


@images.command("build")
def build_image(
    name: Annotated[str, typer.Argument(help="What the nodes are to run: swarm, kubernetes or load-balancer.")],
    version: Annotated[str | None, typer.Option(help="Of Kubernetes, as v1.36.3; the newest without it.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Where programs of Kubernetes come from: releases or modules."),
    ] = None,
    mirror: Annotated[str | None, typer.Option(help="URL of a mirror of releases.")] = None,
    checksums: Annotated[
        Path | None,
        typer.Option(help="A SHA256SUMS of one's own, with which no others count.", exists=True, dir_okay=False),
    ] = None,
    config: Config = None,
) -> None:
    """Make the image that nodes boot from. What was made before is not made again."""
    with report_errors():
        from jeroboam.bootstrap.images import build  # noqa: PLC0415

        settings = options.load(config)
        with _Progress() as progress:
            arguments = {"version": version, "source": source, "mirror": mirror}
            line = asyncio.run(build(settings, name, progress, **arguments, checksums=checksums))
        console.print(line)


@images.command("list")
def list_images(config: Config = None) -> None:
    """Show the node images on the Engine."""
    with report_errors():
        from jeroboam.bootstrap.images import list_node_images  # noqa: PLC0415

        node_images = asyncio.run(list_node_images(options.load(config)))
        rows = [
            (
                "\n".join(image.names),
                image.version,
                ", ".join(image.coes),
                f"{image.size / 1e6:.0f} MB",
                f"{image.created_at:%F %T}",
            )
            for image in node_images
        ]
        table("node images", ("name", "version", "for", "size", "made (UTC)"), rows)


@images.command("remove")
def remove_image(
    name: Annotated[str, typer.Argument(help="As in the list, or as templates name it: kubernetes-node:v1.36.3.")],
    config: Config = None,
) -> None:
    """Remove a node image from the Engine. What its programs were made of stays in the cache."""
    with report_errors():
        from jeroboam.bootstrap.images import remove  # noqa: PLC0415

        console.print(f"removed {', '.join(asyncio.run(remove(options.load(config), name)))}", highlight=False)


class _Progress:
    """Prints a line for each part that was built, with its time; on a terminal also the part in progress."""

    def __init__(self) -> None:
        self._status = console.status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, what: str) -> None:
        self._status.update(what)

    def end(self, what: str, seconds: float | None) -> None:
        self._status.update("")
        console.print(f"{what:<32}{'there already' if seconds is None else f'{seconds:.1f} s':>14}", highlight=False)


@own_clusters.clusters.command("load-image")
def load_images(
    cluster: Annotated[str, typer.Argument(help="Its name or uuid.")],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="As this machine's Docker Engine names them.")
    ],
    state: State = None,
    config: Config = None,
) -> None:
    """Bring images of this machine's Docker Engine onto every node of a Kubernetes cluster, with no registry.

    Several travel in one archive, in which a layer that they share lies once.
    """
    with report_errors():
        from jeroboam.bootstrap.load import load_images as load  # noqa: PLC0415

        nodes = asyncio.run(load(options.load(config, state=state), cluster, images))
        console.print(f"{', '.join(images)}: on {', '.join(nodes)}", highlight=False, markup=False, soft_wrap=True)


@policies.command("explain")
def explain_policy(
    user: Annotated[str, typer.Argument(help="Name or id.")],
    action: Annotated[str, typer.Argument(help="A policy rule, such as cluster:create.")],
    target: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="A cluster, a template, or template=swarm,node_count=5.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project that the user acts in.")] = None,
    state: State = None,
    config: Config = None,
) -> None:
    """Say whether a user may do that, and which rule and limits say so. Exit status 1 if not."""
    with report_errors():
        from jeroboam.bootstrap.explain import explain  # noqa: PLC0415

        settings = options.load(config, state=state)
        explanation = asyncio.run(explain(settings, user, action, target, project))
        for line in explanation.lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        sys.exit(0 if explanation.is_allowed else 1)


@policies.command("check")
def check_policy_file(
    file: Annotated[Path, typer.Argument(help="A policy.yaml, or a file of limits.", metavar="FILE")],
) -> None:
    """Say whether a policy.yaml or a file of limits is well formed, before the service is started with it."""
    with report_errors():
        from jeroboam.bootstrap.policy import check_file  # noqa: PLC0415

        faults, summary = check_file(str(file))
        for line in faults or [summary]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        sys.exit(1 if faults else 0)


def main() -> None:
    """The entry point."""
    app()
