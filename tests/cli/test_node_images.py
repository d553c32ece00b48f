"""What a build of a node image prints, and how it is stopped."""

import asyncio
import os
import signal

import pytest

from jeroboam.cli.node_images import BuildReport, run_until_stopped
from jeroboam.domain.errors import Temporary
from jeroboam.nodeimages.build_times import BuildStep


def test_what_is_built_now_and_what_is_left(capsys):
    with BuildReport() as report:
        report.end("runc v1", None)
        report.begin("etcd v3", BuildStep(number=1, count=2, seconds_left=290))
        report.wait("etcd v3")
        report.end("etcd v3", 31.24)
        report.begin("kube v1", BuildStep(number=2, count=2, seconds_left=20))
        report.begin("image v1")
    assert capsys.readouterr().out.splitlines() == [
        "runc v1                          there already",
        "etcd v3: 1 of 2, about 5 min left …",
        "etcd v3: another process makes it, which is waited for",
        "etcd v3                                 31.2 s",
        "kube v1: 2 of 2, less than a minute left …",
        "image v1 …",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_build_and_what_it_started(number):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def build() -> str:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    build_run = asyncio.ensure_future(run_until_stopped(build(), BuildReport()))
    await begun.wait()
    os.kill(os.getpid(), number)
    with pytest.raises(ValueError, match=r"^stopped; run it again, what was finished is kept$"):
        await build_run
    assert ended.is_set()


async def test_after_a_failure_it_can_be_run_again(capsys):
    report = BuildReport()

    async def build() -> str:
        report.begin("etcd v3")
        raise Temporary("the Go proxy does not answer")

    with pytest.raises(Temporary):
        await run_until_stopped(build(), report)
    assert capsys.readouterr().err == "run it again, what was finished is kept\n"
