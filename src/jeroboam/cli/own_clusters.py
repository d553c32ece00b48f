"""The commands that act in a cluster as its user, with the credentials that `openstack` would use.

Neighbours: `jeroboam.bootstrap.own_clusters` does the work.
"""

import asyncio
import os
import sys
from collections import Counter
from typing import Annotated, Self

import typer
from rich.text import Text

from jeroboam import settings as options
from jeroboam.checks.base import CheckOutcome, CheckResult, ClusterCheck
from jeroboam.cli.terminal import Config, State, console, report_errors

CHECK_IMAGE = "docker.io/library/busybox:latest"
PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Arguments behind the cluster are passed on unchanged."""

clusters = typer.Typer(no_args_is_help=True, help="Clusters, as their users: whom OS_* or a clouds.yaml says.")

_STYLES = {CheckOutcome.PASSED: "green", CheckOutcome.FAILED: "red", CheckOutcome.SKIPPED: "yellow"}


@clusters.command("check")
def check_cluster(
    cluster: Annotated[str, typer.Argument(help="Name or uuid of a Kubernetes cluster.")],
    only: Annotated[list[str] | None, typer.Option(help="A check; again for more. All without it.")] = None,
    image: Annotated[str, typer.Option(help="What pods of the checks run: anything with busybox.")] = CHECK_IMAGE,
    seconds: Annotated[float, typer.Option(help="How long one thing is waited for.", min=1)] = 60,
    state: State = None,
    config: Config = None,
) -> None:
    """Try whether a Kubernetes cluster does what its users need. Exit status 1 when a check fails.

    All is done in a namespace of its own, which is removed at the end; what users run is left alone.
    """
    with report_errors():
        from jeroboam.bootstrap.own_clusters import check  # noqa: PLC0415

        settings = options.load(config, state=state)
        with _CheckReport() as report:
            work = check(settings, cluster, report, only=only or (), image=image, seconds=seconds)
            asyncio.run(work)
        console.print(report.summary(), highlight=False)
        sys.exit(1 if report.failure_count else 0)


class _CheckReport:
    """Prints a line for each check that has ended; on a terminal also the checks in progress."""

    def __init__(self) -> None:
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
        style = _STYLES[result.outcome]
        line = Text.assemble((f"{result.outcome:<7}", style), f" {result.seconds:5.1f} s  {result.check.about}")
        if result.text:
            line.append(f": {result.text}", style="" if result.outcome is CheckOutcome.PASSED else style)
        line.append(f" ({result.check.name})", style="dim")
        console.print(line, soft_wrap=True)

    def summary(self) -> str:
        return ", ".join(f"{count} {outcome}" for outcome, count in self._outcomes.items())


def kubectl(
    cluster: Annotated[str, typer.Argument(help="Name or uuid of a Kubernetes cluster.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENTS...", help="Of kubectl, unchanged.")] = None,
    state: State = None,
    config: Config = None,
) -> None:
    """Run the kubectl of a cluster's own version on it, as its user; options of ours come before CLUSTER.

    The certificate that it shows is made for this one call and lies on no disk.
    """
    with report_errors():
        from jeroboam.bootstrap.own_clusters import kubectl_for  # noqa: PLC0415

        settings = options.load(config, state=state)
        program, arguments, environment = asyncio.run(kubectl_for(settings, cluster, words or ()))
        sys.stdout.flush()
        os.execve(program, arguments, environment)  # noqa: S606  (it replaces this process: terminal, signals, exit status)
