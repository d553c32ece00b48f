"""The commands that act in a cluster as its user and need more than the published API: checks, kubectl, images.

Neighbours: `jeroboam.bootstrap.own_clusters` and `load` do the work; `clusters`, the commands that are clients alone.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Self

import typer
from rich.text import Text

from jeroboam import settings as options
from jeroboam.checks.base import CheckOutcome, CheckResult, ClusterCheck
from jeroboam.cli.session import ask_infra
from jeroboam.cli.terminal import (
    Config,
    Output,
    OutputFormat,
    State,
    console,
    report_errors,
    show_json,
    show_line,
)
from jeroboam.clients.container_infra import ContainerInfraClient

CHECK_IMAGE = "docker.io/library/busybox:latest"

_STYLES = {CheckOutcome.PASSED: "green", CheckOutcome.FAILED: "red", CheckOutcome.SKIPPED: "yellow"}


def check_cluster(
    cluster: Annotated[str, typer.Argument(help="Name or uuid of a Kubernetes cluster.")],
    only: Annotated[
        list[str] | None, typer.Option(help="A check; again for more. All without it.", metavar="CHECK")
    ] = None,
    image: Annotated[
        str, typer.Option(help="What pods of the checks run: any with busybox.", metavar="IMAGE")
    ] = CHECK_IMAGE,
    seconds: Annotated[float, typer.Option(help="How long one thing is waited for.", min=1, metavar="SECONDS")] = 60,
    output: Output = OutputFormat.TABLE,
    state: State = None,
    config: Config = None,
) -> None:
    """Try whether a Kubernetes cluster does what users need.

    Exit status 1 when a check fails. All is done in a namespace of its own, which is removed at the end; what
    users run is left alone.
    """
    with report_errors(state=state, config=config):
        from jeroboam.bootstrap.own_clusters import check  # noqa: PLC0415

        settings = options.load(config, state=state)
        with _CheckReport(is_shown=output is OutputFormat.TABLE) as report:
            work = check(settings, cluster, report, only=only or (), image=image, seconds=seconds)
            results = asyncio.run(work)
        if output is OutputFormat.JSON:
            show_json([_build_result(result) for result in results])
        else:
            show_line(report.summary())
        sys.exit(1 if report.failure_count else 0)


def _build_result(result: CheckResult) -> dict[str, object]:
    return {
        "check": result.check.name,
        "about": result.check.about,
        "outcome": result.outcome,
        "seconds": round(result.seconds, 1),
        "text": result.text,
    }


class _CheckReport:
    """Prints a line for each check that has ended; on a terminal also the checks in progress."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._status = console.status("")
        self._in_progress: list[str] = []
        self._outcomes: Counter[CheckOutcome] = Counter()

    @property
    def failure_count(self) -> int:
        return self._outcomes[CheckOutcome.FAILED]

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, check: ClusterCheck) -> None:
        self._in_progress.append(check.name)
        self._status.update(", ".join(self._in_progress))

    def end(self, result: CheckResult) -> None:
        self._in_progress.remove(result.check.name)
        self._status.update(", ".join(self._in_progress))
        self._outcomes[result.outcome] += 1
        if not self._is_shown:
            return
        style = _STYLES[result.outcome]
        line = Text.assemble((f"{result.outcome:<7}", style), f" {result.seconds:5.1f} s  {result.check.about}")
        if result.text:
            line.append(f": {result.text}", style="" if result.outcome is CheckOutcome.PASSED else style)
        line.append(f" ({result.check.name})", style="dim")
        show_line(line)

    def summary(self) -> str:
        return ", ".join(f"{count} {outcome}" for outcome, count in self._outcomes.items())


def kubectl(
    cluster: Annotated[str, typer.Argument(help="Name or uuid of a Kubernetes cluster.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Of kubectl, unchanged.")] = None,
    state: State = None,
    config: Config = None,
) -> None:
    """Run the kubectl of a cluster's own version on it.

    You are the cluster's user. Options of ours come before CLUSTER.
    The certificate that it shows is made for this one call and lies on no disk.
    """
    with report_errors(state=state, config=config):
        from jeroboam.bootstrap.own_clusters import kubectl_for  # noqa: PLC0415

        settings = options.load(config, state=state)
        program, arguments, environment = asyncio.run(kubectl_for(settings, cluster, words or ()))
        sys.stdout.flush()
        os.execve(program, arguments, environment)  # noqa: S606  (it replaces this process: terminal, signals, exit status)


def load_images(
    cluster: Annotated[str, typer.Argument(help="Name or uuid.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="As this machine's Docker Engine names them.")],
    state: State = None,
    config: Config = None,
) -> None:
    """Bring images of this machine onto the nodes of a cluster.

    They come from its Docker Engine, and no registry is needed. Several travel in one archive, in which a layer
    that they share lies once.
    """

    async def load(infra: ContainerInfraClient) -> Sequence[str]:
        from jeroboam.bootstrap.load import load_images as load_on_kubernetes  # noqa: PLC0415
        from jeroboam.bootstrap.load_swarm import load_on_swarm  # noqa: PLC0415

        settings = options.load(config, state=state)
        view = await infra.cluster(cluster)
        if view.coe == "swarm":
            return await load_on_swarm(infra, view, images, docker_url=settings.docker_url)
        return await load_on_kubernetes(settings, view.uuid, images)

    nodes = ask_infra(load, state=state, config=config)
    show_line(f"{', '.join(images)}: on {', '.join(nodes)}")
