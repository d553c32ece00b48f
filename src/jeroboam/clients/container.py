"""A client of the container API for one user. Neighbours: `openstack`, which sends the requests; `cli.containers`."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jeroboam.clients import answers
from jeroboam.clients.openstack import CONTAINER, OpenStackApi, open_api
from jeroboam.domain.streams import TerminalSize

if TYPE_CHECKING:
    from jeroboam.clients.container_streams import Terminal

EXECUTE_SECONDS = 600.0
"""How long a command in a container may take: the operator decides, and this is far beyond the usual."""


class ContainerClient:
    """Requests to one API as one user. Raises `Permanent` if a request is refused, `Temporary` if nobody answers."""

    def __init__(self, api: OpenStackApi) -> None:
        self._api = api

    def has_sent_change(self) -> bool:
        """Whether a request was sent that may change something."""
        return self._api.has_sent_change()

    async def run(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a container that is started; return it as the API shows it."""
        action = "creating the container"
        return dict(await self._api.send("POST", "/containers?run=true", action, wish, shape=answers.ContainerAnswer))

    async def list_containers(self) -> list[dict[str, Any]]:
        """Return the project's containers as the API shows them."""
        path = "/containers?sort_key=created_at"
        return await self._api.list_pages(path, "containers", "listing containers", answers.ContainersPage)

    async def show(self, ident: str) -> dict[str, Any]:
        """Return the container with that name or uuid as the API shows it."""
        return dict(await self._api.get(_path(ident), f"looking for container {ident}", answers.ContainerAnswer))

    async def find(self, ident: str) -> dict[str, Any] | None:
        """Return the same; None if there is none."""
        container = await self._api.find(_path(ident), f"looking for container {ident}", answers.ContainerAnswer)
        return None if container is None else dict(container)

    async def read_logs(self, ident: str, *, tail: int | None, timestamps: bool) -> str:
        """Return what the container has written; of its end so many lines, if `tail` is given."""
        query = {"timestamps": str(timestamps).lower()} | ({} if tail is None else {"tail": str(tail)})
        path = f"{_path(ident)}/logs?{urlencode(query)}"
        return str(await self._api.get(path, f"reading the logs of container {ident}", str))

    async def execute(self, ident: str, command: str) -> tuple[str, int]:
        """Run a command in the container to its end. Return its output and exit status."""
        path = f"{_path(ident)}/execute?{urlencode({'command': command, 'run': 'true', 'interactive': 'false'})}"
        action = f"running a command in container {ident}"
        answer = await self._api.send("POST", path, action, shape=answers.ExecAnswer, seconds=EXECUTE_SECONDS)
        return answer["output"] or "", answer["exit_code"]

    async def follow_logs(self, ident: str, *, tail: int | None, timestamps: bool) -> AsyncIterator[bytes]:
        """Yield what the container has written and writes, until it ends."""
        from jeroboam.clients.container_streams import follow  # noqa: PLC0415  (aiohttp takes its time)

        query = {"timestamps": str(timestamps).lower(), "follow": "true"}
        query |= {} if tail is None else {"tail": str(tail)}
        path = f"{_path(ident)}/logs?{urlencode(query)}"
        async for piece in follow(await self._api.read_access(), path, f"following the logs of container {ident}"):
            yield piece

    async def open_exec(self, ident: str, command: str, *, tty: bool, size: TerminalSize | None) -> "Terminal":
        """Start a command with input. With `tty` it has a terminal of that size."""
        from jeroboam.clients.container_streams import open_terminal  # noqa: PLC0415

        query = {"command": command, "run": "false", "interactive": str(tty).lower()}
        action = f"running a command in container {ident}"
        answer = await self._api.send(
            "POST", f"{_path(ident)}/execute?{urlencode(query)}", action, shape=answers.SessionAnswer
        )
        if size is not None:
            await self.resize_exec(ident, answer["exec_id"], size)
        terminal = await open_terminal(await self._api.read_access(), answer["proxy_url"], action)
        terminal.name = answer["exec_id"]
        return terminal

    async def resize_exec(self, ident: str, exec_id: str, size: TerminalSize) -> None:
        """Set the size of a command's terminal."""
        query = urlencode({"exec_id": exec_id, "h": size.rows, "w": size.columns})
        await self._api.send("POST", f"{_path(ident)}/execute_resize?{query}", "setting the size of the terminal")

    async def delete(self, ident: str, *, stop: bool) -> None:
        """Ask for the removal of a container; with `stop`, of one that runs too."""
        query = "?stop=true" if stop else ""
        await self._api.send("DELETE", f"{_path(ident)}{query}", f"removing container {ident}")


async def log_in(*, clouds: Path | None) -> ContainerClient:
    """Log in as the environment says; with `clouds`, as the cloud `jeroboam` of that clouds.yaml."""
    return ContainerClient(await open_api(CONTAINER, clouds=clouds))


def _path(ident: str) -> str:
    return f"/containers/{quote(ident, safe='')}"
