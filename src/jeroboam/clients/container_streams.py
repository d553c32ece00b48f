"""What goes on for longer than one answer of the container API: followed logs, and commands with input.

openstacksdk has no words for these. The server is asked by the same user, and may be broken or hostile: a WebSocket is
opened at the API's own server only. Neighbour: `container`, the client that has the requests.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from jeroboam.clients.openstack import ApiAccess, BadAnswer
from jeroboam.domain.errors import Permanent, Temporary

CONNECT_SECONDS = 30.0
_MOST_DETAIL = 4000
_LARGEST_FRAME = 4 << 20
_EXIT_CODE = re.compile(r"exit code ([0-9]{1,3})")


def _open_session(access: ApiAccess) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None)
    context: ssl.SSLContext | bool = True
    if access.verify is False:
        context = False
    elif isinstance(access.verify, str):
        context = ssl.create_default_context(cafile=access.verify)
    connector = aiohttp.TCPConnector(ssl=context)
    return aiohttp.ClientSession(connector=connector, timeout=timeout)


async def follow(access: ApiAccess, path: str, action: str) -> AsyncIterator[bytes]:
    """Yield the body of an answer as it comes. Raises `Permanent` or `Temporary`, whose text begins with the action."""
    async with _open_session(access) as session:
        try:
            async with session.get(access.endpoint + path, headers=access.headers, allow_redirects=False) as response:
                if response.status != HTTPStatus.OK:
                    raise _refusal(response.status, await response.content.read(_MOST_DETAIL * 4), action)
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Temporary(f"{action}: the connection was cut ({error})") from error


def _refusal(status: int, body: bytes, action: str) -> Permanent | Temporary:
    match = re.search(rb'"detail": ?"((?:[^"\\]|\\.)*)"', body)
    detail = match[1].decode(errors="replace")[:_MOST_DETAIL] if match else f"the API answers {status}"
    kind = Temporary if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent
    return kind(f"{action}: {detail}")


class Terminal:
    """A command with input, over a WebSocket. Whoever has one closes it."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, action: str) -> None:
        self._session = session
        self._socket = socket
        self._action = action
        self.name = ""
        """The command's name for requests about it."""

    async def send(self, data: bytes) -> None:
        """Send input. What the command does not take any more is discarded."""
        if not self._socket.closed:
            await self._socket.send_bytes(data)

    async def end(self) -> None:
        """Tell the command that no more input comes."""
        if not self._socket.closed:
            await self._socket.send_bytes(b"")

    async def receive(self) -> bytes | None:
        """Return the next piece of output; None when the command has ended."""
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
            case aiohttp.WSMsgType.TEXT:
                return str(message.data).encode()
            case aiohttp.WSMsgType.CLOSE:
                self._reason = str(message.extra or "")
                self._code = int(message.data or 0)
                return None
        raise Temporary(f"{self._action}: the connection was cut")

    @property
    def exit_code(self) -> int:
        """The exit code of a command that has ended. Raises `Permanent` if it was broken off instead."""
        match = _EXIT_CODE.fullmatch(self._reason)
        if match is None:
            raise Permanent(f"{self._action}: {self._reason or 'the session was closed'}")
        return int(match[1])

    async def close(self) -> None:
        """End the session; nothing happens if it is over."""
        await self._socket.close()
        await self._session.close()


async def open_terminal(access: ApiAccess, url: str, action: str) -> Terminal:
    """Open the WebSocket that the API has answered. Raises `BadAnswer` for one of another server."""
    wanted, given = urlsplit(access.endpoint), urlsplit(url)
    if (given.scheme, given.netloc) != ("wss" if wanted.scheme == "https" else "ws", wanted.netloc):
        raise BadAnswer(f"{wanted.scheme}://{wanted.netloc}", "the session is on another server")
    session = _open_session(access)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(url, max_msg_size=_LARGEST_FRAME, protocols=("binary",))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        await session.close()
        status = error.status if isinstance(error, aiohttp.WSServerHandshakeError) else 0
        raise Temporary(f"{action}: the session could not be opened ({status or error})") from error
    return Terminal(session, socket, action)
