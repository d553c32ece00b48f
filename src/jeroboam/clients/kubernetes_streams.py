"""Streams to a running pod: commands, and its ports.

Both use a websocket whose messages begin with the number of a channel (kubernetes.io: *v5.channel.k8s.io* and its
predecessor, which lacks the message that closes a channel). Neighbours: `kubernetes`, which opens the websocket.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from jeroboam.clients.kubernetes import KubernetesApi, Socket
from jeroboam.domain.errors import Permanent, Temporary

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CLOSE = 255
_DATA, _ERROR = range(2)
_CLOSING = "v5.channel.k8s.io"
_BEFORE = "v4.channel.k8s.io"
_PORT_OCTETS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandResult:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


async def run(
    api: KubernetesApi, pod: str, command: Sequence[str], *, namespace: str, stdin: str | None = None, seconds: float
) -> CommandResult:
    """Run a command in the pod's first container. Raises `Temporary` if the command takes longer than `seconds`."""
    action = f"running {command[0]} in pod {pod}"
    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    if stdin is not None:
        query.append(("stdin", "true"))
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{urlencode(query)}"
    channels: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _STATUS: bytearray()}
    try:
        async with asyncio.timeout(seconds), api.stream(path, action, [_CLOSING, _BEFORE]) as socket:
            if stdin is not None:
                await socket.send_bytes(bytes([_STDIN]) + stdin.encode())
                if socket.protocol == _CLOSING:
                    await socket.send_bytes(bytes([_CLOSE, _STDIN]))
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY and message.data[:1] != bytes([_CLOSE]):
                    channels[message.data[0]] += message.data[1:]
    except TimeoutError as error:
        raise Temporary(f"{action}: not over after {seconds:g} s") from error
    if not channels[_STATUS]:
        raise Temporary(f"{action}: the connection was lost")
    return CommandResult(
        code=_exit_code(action, bytes(channels[_STATUS])),
        stdout=channels[_STDOUT].decode(errors="replace"),
        stderr=channels[_STDERR].decode(errors="replace"),
    )


def _exit_code(action: str, status: bytes) -> int:
    result = json.loads(status)
    if result["status"] == "Success":
        return 0
    causes = (result.get("details") or {}).get("causes") or ()
    code = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), None)
    if code is None:
        raise Permanent(f"{action}: {result.get('message', 'it could not be started')}")
    return int(code)


async def ask_port(api: KubernetesApi, pod: str, port: int, request: bytes, *, namespace: str, seconds: float) -> bytes:
    """Return what a port of the pod sends, through the API server, until it closes the connection."""
    action = f"asking port {port} of pod {pod}"
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
    try:
        async with asyncio.timeout(seconds), api.stream(path, action, [_BEFORE]) as socket:
            await socket.send_bytes(bytes([_DATA]) + request)
            return await _answer(action, socket)
    except TimeoutError as error:
        raise Temporary(f"{action}: no whole answer after {seconds:g} s") from error


async def _answer(action: str, socket: Socket) -> bytes:
    channels: dict[int, bytearray] = {_DATA: bytearray(), _ERROR: bytearray()}
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            channels[message.data[0]] += message.data[1:]
    # Each channel opens with the port's number.
    trouble = channels[_ERROR][_PORT_OCTETS:].decode(errors="replace")
    if trouble:
        raise Temporary(f"{action}: {trouble}")
    return bytes(channels[_DATA][_PORT_OCTETS:])
