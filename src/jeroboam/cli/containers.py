"""Commands for containers without a cluster, in the words of `docker`: `run`, `ps`, `logs`, `exec`, `rm`.

Neighbours: `jeroboam.clients.container`, which sends the requests.
"""

import re
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.status import Status
from rich.text import Text

from jeroboam.cli.help import UserCommand, drop_separator
from jeroboam.cli.own_command import format_own_command
from jeroboam.cli.session import ask_containers, try_all
from jeroboam.cli.terminal import (
    Config,
    Output,
    OutputFormat,
    ShowApi,
    State,
    Wait,
    console,
    report_errors,
    show_api_command,
    show_json,
    show_line,
    show_output,
    show_table,
)
from jeroboam.clients.container import ContainerClient
from jeroboam.domain.errors import Permanent
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.controls import escape_controls

LOOK_SECONDS = 0.2
_BEGINNING = frozenset({"Creating", "Created", "Restarting", "Rebuilding"})
_FAILED = frozenset({"Error", "Dead"})

_MEMORY = re.compile(r"(\d+(?:\.\d+)?) *(?:([kmgt])i?)?b?")
_UNIT_OCTETS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

ContainerArgument = Annotated[str, typer.Argument(metavar="CONTAINER", help="Name or uuid.")]


_HINTS = {
    "-d --detach": "a container always runs in the background",
    "-p --publish --publish-all -P": "no port is published; `jeroboam ps` shows the address of the container",
    "-i -t --interactive --tty": "`jeroboam exec -it` has a terminal",
}


class ContainerCommand(UserCommand):
    """A command with an explanation for options of `docker` that it does not have."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Typer has click inside under a private name, so the class of the error cannot be imported.
            name = getattr(error, "option_name", None)
            hint = next((hint for names, hint in _HINTS.items() if name in names.split()), None)
            if hint is None or not hasattr(error, "possibilities"):
                raise
            error.message, error.possibilities = f"No such option: {name}; {hint}", []  # type: ignore[attr-defined]
            raise


def run_container(
    *,
    image: Annotated[str, typer.Argument(help="As busybox, or registry.example.com/app:1.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="In place of the image's own.")] = None,
    name: Annotated[str | None, typer.Option(help="One is made up without it.", metavar="NAME")] = None,
    cpu: Annotated[float | None, typer.Option(help="Cores.", min=0, metavar="CORES")] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", "-m", help="As 512m or 1g; MiB without a unit.", metavar="SIZE")
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="Again for more.", metavar="NAME=VALUE")] = None,
    workdir: Annotated[
        str | None, typer.Option("--workdir", "-w", help="Folder that it starts in.", metavar="DIR")
    ] = None,
    restart: Annotated[
        str | None, typer.Option(help="no, always, on-failure or unless-stopped.", metavar="POLICY")
    ] = None,
    remove: Annotated[bool, typer.Option("--rm", help="Remove it when it has ended.")] = False,
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Run a container in the background, with no cluster to manage.

    Options come before IMAGE.
    """
    with report_errors():
        fields = {
            "name": name,
            "image": image,
            "command": words or None,
            "cpu": cpu,
            "memory": None if memory is None else parse_memory(memory),
            "environment": _split_pairs(env or []) or None,
            "workdir": workdir,
            "restart_policy": {"Name": restart} if restart else None,
            "auto_remove": True if remove else None,
        }
        wish = {field: value for field, value in fields.items() if value is not None}
    if show_api:
        show_api_command(_format_run(wish))
        return
    container = ask_containers(lambda zun: _run(zun, wish, wait=wait), state=state, config=config)
    show_line(f"{container['uuid']}  {container['name']}")


def parse_memory(text: str) -> int:
    """Return a size in MiB: `512`, `512m`, `1g`, `1GiB`, as `docker` reads them. Raises `ValueError`."""
    match = _MEMORY.fullmatch(text.strip().lower())
    octets = 0 if match is None else float(match[1]) * _UNIT_OCTETS[match[2] or "m"]
    size = int(octets // _UNIT_OCTETS["m"])
    if size < 1:
        raise ValueError(f"--memory {text}: a size such as 512m, 1g or 1GiB is expected, or a number of MiB")
    return size


def _split_pairs(pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise ValueError(f"--env {pair}: NAME=VALUE is expected")
        values[name] = value
    return values


def _format_run(wish: dict[str, Any]) -> list[str]:
    flags = {"name": "--name", "cpu": "--cpu", "memory": "--memory", "workdir": "--workdir"}
    words = ["appcontainer", "run"]
    for field, flag in flags.items():
        words += [flag, str(wish[field])] if field in wish else []
    for name, value in wish.get("environment", {}).items():
        words += ["--environment", f"{name}={value}"]
    words += ["--restart", wish["restart_policy"]["Name"]] if "restart_policy" in wish else []
    words += ["--auto-remove"] if "auto_remove" in wish else []
    command = wish.get("command", [])
    # The client takes words that look like options for its own.
    return [*words, *(["--"] if any(word.startswith("-") for word in command) else []), wish["image"], *command]


async def _run(zun: ContainerClient, wish: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    name = wish.get("name")
    # The API lets several have a name; who types names means one.
    if name is not None and any(container["name"] == name for container in await zun.list_containers()):
        raise ValueError(f"--name {name}: there is a container of that name already")
    container = await zun.run(wish)
    clock = SystemClock()
    with console.status("") as display:
        while wait and (container["status"] in _BEGINNING or container["task_state"]):
            display.update(Text(escape_controls(container.get("status_reason") or container["status"])))
            await clock.sleep(LOOK_SECONDS)
            latest = await zun.find(container["uuid"])
            if latest is None:
                # It has ended and was removed, as asked for.
                return container
            container = latest
    if container["status"] in _FAILED:
        name, reason = container["name"], container.get("status_reason") or container["status"]
        raise Permanent(f"container {name}: {reason}; the container stays until: jeroboam rm {name}")
    return container


def list_containers(
    output: Output = OutputFormat.TABLE, show_api: ShowApi = False, state: State = None, config: Config = None
) -> None:
    """Show your containers, ended ones too."""
    if show_api:
        show_api_command(["appcontainer", "list"])
        return
    containers = ask_containers(lambda zun: zun.list_containers(), state=state, config=config)
    if output is OutputFormat.JSON:
        show_json(containers)
        return
    rows = [
        (container["name"], container["uuid"], container["status"], container["image"], _list_addresses(container))
        for container in containers
    ]
    show_table(("name", "uuid", "status", "image", "addresses"), rows)


def _list_addresses(container: dict[str, Any]) -> str:
    networks = (container["addresses"] or {}).values()
    return ", ".join(address["addr"] for addresses in networks for address in addresses)


def show_logs(
    container: ContainerArgument,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", help="Of its end so many lines.", min=0, metavar="N")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="When each line was written.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Also what it writes from now on.")] = False,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Show what a container has written."""
    if show_api:
        flags = [*([] if tail is None else ["--tail", tail]), *(["--timestamps"] if timestamps else [])]
        show_api_command(["appcontainer", "logs", *flags, container])
        return
    if follow:
        ask_containers(partial(_follow_logs, container, tail, timestamps), state=state, config=config)
        return
    text = ask_containers(
        lambda zun: zun.read_logs(container, tail=tail, timestamps=timestamps), state=state, config=config
    )
    show_output(text)


async def _follow_logs(ident: str, tail: int | None, timestamps: bool, zun: ContainerClient) -> None:
    async for piece in zun.follow_logs(ident, tail=tail, timestamps=timestamps):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def execute_in_container(
    container: ContainerArgument,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND", help="It runs to its end.")],
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="With our input.")] = False,
    terminal: Annotated[bool, typer.Option("--tty", "-t", help="In a terminal.")] = False,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Run a command in a container.

    Its exit status is ours. Without -i it has five seconds. Options come before CONTAINER.
    """
    words = drop_separator(words)
    if show_api:
        flags = ["--interactive"] if interactive or terminal else []
        show_api_command(["appcontainer", "exec", *flags, container, *words])
        return
    if interactive or terminal:
        sys.exit(_execute_interactively(container, words, with_terminal=terminal, state=state, config=config))
    output, exit_code = ask_containers(
        lambda zun: zun.execute(container, shlex.join(words)), state=state, config=config
    )
    show_output(output)
    sys.exit(exit_code)


def _execute_interactively(
    container: str, words: list[str], *, with_terminal: bool, state: str | None, config: Path | None
) -> int:
    from jeroboam.cli.container_terminal import run_interactively  # noqa: PLC0415  (aiohttp takes its time)

    if with_terminal and not (sys.stdin.isatty() and sys.stdout.isatty()):
        with report_errors():
            raise ValueError("-t: this is no terminal; -i alone passes the input on")
    return ask_containers(
        lambda zun: run_interactively(zun, container, shlex.join(words), with_terminal=with_terminal),
        state=state,
        config=config,
    )


def remove_containers(
    containers: Annotated[list[str], typer.Argument(metavar="CONTAINER", help="Names or uuids.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Stop those that run.")] = False,
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Remove containers.

    One that runs has to be stopped for that: --force does it.
    """
    if show_api:
        show_api_command(["appcontainer", "delete", *(["--stop"] if force else []), *containers])
        return

    async def ask(zun: ContainerClient, ident: str) -> None:
        container = await zun.show(ident)
        if container["status"] == "Running" and not force:
            command = format_own_command(f"rm --force {shlex.quote(container['name'])}", state=state, config=config)
            raise ValueError(f"{container['name']}: it runs; to stop it first: {command}")
        await zun.delete(container["uuid"], stop=force)
        if wait:
            leaving[container["uuid"]] = container["name"]
        else:
            show_line(container["name"])

    async def remove(zun: ContainerClient) -> None:
        has_failed = not await try_all(partial(ask, zun), containers)
        with console.status("") as display:
            has_failed |= not await try_all(partial(_wait_for_removal, zun, leaving, display), list(leaving))
        if has_failed:
            sys.exit(1)

    leaving: dict[str, str] = {}
    ask_containers(remove, state=state, config=config)


async def _wait_for_removal(zun: ContainerClient, leaving: dict[str, str], display: Status, uuid: str) -> None:
    """Wait until the container is gone, and show its name. `leaving` has the names by uuid, and loses this one."""
    try:
        while (latest := await zun.find(uuid)) is not None:
            display.update(Text(escape_controls(f"waiting until {', '.join(leaving.values())} have stopped")))
            _check_removal(latest)
            await SystemClock().sleep(LOOK_SECONDS)
        show_line(leaving[uuid])
    finally:
        del leaving[uuid]


def _check_removal(container: dict[str, Any]) -> None:
    """Raise `Permanent` if the removal was given up."""
    if container["status"] in _FAILED and not container["task_state"] and container.get("status_reason"):
        raise Permanent(f"container {container['name']}: {container['status_reason']}")
