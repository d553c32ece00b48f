"""The commands `up` and `stop`: the start of the service, in the foreground or the background, and its end.

Neighbours: `greeting`, what `up` prints; `log`, where the log goes; `systemd`; `jeroboam.bootstrap.service`.
"""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from jeroboam import settings as options
from jeroboam.bootstrap.engine import find_engine_fault, needs_engine
from jeroboam.bootstrap.machine import read_used_memory
from jeroboam.bootstrap.state import StateFolder, StateInUse
from jeroboam.cli.engine import describe_engine_fault
from jeroboam.cli.greeting import StartSteps, format_greeting
from jeroboam.cli.log import STANDARD_ERROR, configure_log, find_log_file
from jeroboam.cli.own_command import format_command
from jeroboam.cli.systemd import notify
from jeroboam.cli.terminal import Config, State, report_errors, show_line
from jeroboam.domain.errors import DriverError
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.tasks import Tasks

STOP_SECONDS = 15


def start_service(
    state: State = None,
    listen: Annotated[str | None, typer.Option(help="Where the API listens.", metavar="ADDRESS:PORT")] = None,
    keystone_listen: Annotated[
        str | None, typer.Option(help="Where its Keystone listens.", metavar="ADDRESS:PORT")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background as soon as the service answers.")
    ] = False,
    log_file: Annotated[
        str | None, typer.Option(help="Where the log goes; - is standard error.", metavar="FILE")
    ] = None,
    config: Config = None,
) -> None:
    """Run the service on this machine, in the foreground.

    That is the API, the conductor, the agent and a Keystone. Ctrl-C ends it; what it made stays. On a terminal the log
    goes to jeroboam.log in the state folder.
    """
    with report_errors():
        addresses = {"api__listen": listen, "keystone__listen": keystone_listen}
        settings = options.load(config, state=state, log_file=log_file, **addresses)
        if detach and settings.log_file == STANDARD_ERROR:
            raise ValueError("--detach: nobody reads the standard error of a service in the background; name a file")
        release = _fork() if detach else None
        uvloop.run(_run_service(settings, release))


def _fork() -> Callable[[Path], None]:
    """Go on in a child that is a session of its own, while this process waits for it and ends.

    Return the function that ends the wait well; what is printed after it goes to that file. If the child ends before,
    this process ends with the same exit status.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        _wait_for_child(child, reader)
    os.close(reader)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def release(log_file: Path) -> None:
        output = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        sys.stdout.flush()
        try:
            os.write(writer, b"1")
        except BrokenPipeError as error:
            raise ValueError("the command that started the service has ended before it") from error
        os.close(writer)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)

    return release


def _wait_for_child(child: int, reader: int) -> None:
    """End this process as soon as the child answers or has ended. Ctrl-C ends the child too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        has_started = os.read(reader, 1) != b""
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        has_started = False
    status = 0
    if not has_started:
        # A service that was asked to end before it could go on ends well, and yet it does not run.
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or 1
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)


async def _run_service(settings: options.Settings, release: Callable[[Path], None] | None) -> None:
    is_detached = release is not None
    log_file = find_log_file(settings.log_file, settings.state, wants_file=is_detached or sys.stderr.isatty())
    steps = StartSteps(SystemClock())
    tasks = Tasks(on_error=lambda _, error: show_line(f"the Docker Engine was not looked at: {error}"))
    try:
        with StateFolder(settings.state) as folder:
            show_line(f"jeroboam starts: state in {settings.state}, log in {log_file or 'standard error'}")
            configure_log(settings.log_level, log_file)
            _check_files(settings)
            engine = tasks.start("engine", _check_engine(settings, steps))
            keystone = folder.keystone(settings)
            steps.show(
                f"Keystone: {'is set up, which takes some ten seconds' if keystone.is_first_start else 'starts'}"
            )
            await keystone.start()
            # Loading the service takes as long as starting a Keystone, so both run at the same time. It is loaded in a
            # thread, since on a slow machine the Engine's answer would wait for the loop until its deadline has passed.
            await asyncio.to_thread(import_module, "jeroboam.bootstrap.service")
            from jeroboam.bootstrap.service import SingleProcess, catch_stop_signals, wait_for_stop  # noqa: PLC0415

            async with SingleProcess(settings, folder, keystone).run(steps.show) as addresses:
                memory = read_used_memory(filter(None, (os.getpid(), keystone.process_id)))
                steps.show(f"memory: {memory} MiB with Keystone")
                end = (
                    f"{format_command('stop', settings.state)} ends this process"
                    if is_detached
                    else "Ctrl-C ends this process"
                )
                stop_requested = catch_stop_signals()
                show_line(format_greeting(settings.state, addresses.api, addresses.keystone, end=end))
                notify("READY=1")
                await asyncio.gather(wait_for_stop(stop_requested), _end_start(engine, release, log_file))
                notify("STOPPING=1")
                show_line("draining; clusters and containers stay")
    except StateInUse as error:
        raise ValueError(f"{error}; {format_command('stop', settings.state)} ends it") from error
    finally:
        await tasks.close()


def _check_files(settings: options.Settings) -> None:
    """Raise `ValueError` for a policy file or a file of limits that cannot be used, before a Keystone is made."""
    if settings.api.policy_file or settings.api.limits_file:
        # Without these files there is nothing to load it for.
        from jeroboam.bootstrap.limits import read_limits  # noqa: PLC0415
        from jeroboam.bootstrap.policy import check_policy  # noqa: PLC0415

        check_policy(settings.api.policy_file)
        read_limits(settings.api.limits_file)


async def _end_start(
    engine: Awaitable[DriverError | None], release: Callable[[Path], None] | None, log_file: Path | None
) -> None:
    """Say what is wrong with the Engine, and go on in the background if that is wanted."""
    _warn_of_engine_fault(await engine)
    if release is not None and log_file is not None:
        release(log_file)


async def _check_engine(settings: options.Settings, steps: StartSteps) -> DriverError | None:
    """Show in a step whether the Docker Engine answers. Return why not."""
    if not needs_engine(settings):
        return None
    error = await find_engine_fault(settings)
    steps.show("Docker Engine: answers" if error is None else "Docker Engine: cannot be used")
    return error


def _warn_of_engine_fault(error: DriverError | None) -> None:
    """Print what stands between the service and its Engine on standard error; nothing if all is well.

    The service runs on: it answers, and works as soon as the Engine does.
    """
    if error is not None:
        text = describe_engine_fault(error) or error.reason
        print(f"jeroboam: {text}\nUntil then nothing can be made; the service goes on by itself.", file=sys.stderr)


def stop_service(state: State = None, config: Config = None) -> None:
    """End the service of this machine, wherever it runs. What it made stays."""
    with report_errors():
        settings = options.load(config, state=state)
        folder = StateFolder(settings.state)
        process = folder.find_process()
        if not process:
            raise ValueError(f"no service runs on the state in {settings.state}")
        handle = os.pidfd_open(int(process))
        try:
            if folder.find_process() != process:
                raise ValueError(f"process {process} has ended by itself")
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            ended, _, _ = select.select([handle], [], [], STOP_SECONDS)
        finally:
            os.close(handle)
        if not ended:
            raise ValueError(f"process {process} has not ended after {STOP_SECONDS} s; kill -9 {process} is safe")
        show_line(f"stopped process {process}; clusters and containers stay")
