"""A server that answers a client of the API as it likes, octet by octet."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_CLOUDS = """
clouds:
  admin-token: {{auth_type: admin_token, auth: {{endpoint: "{url}/v1", token: secret}}}}
  password:
    auth: {{auth_url: "{url}/v3", username: u, password: p, project_name: q,
           user_domain_name: Default, project_domain_name: Default}}
"""


@dataclass
class EvilServer:
    """`answers` has, for the begin of a path, a value of JSON, raw octets, or a function of the path."""

    answers: dict[str, object]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    tasks: list[asyncio.Task] = field(default_factory=list)

    def environment(self, folder, cloud: str = "admin-token") -> dict[str, str]:
        """The environment of the server's user."""
        clouds = folder / "clouds.yaml"
        clouds.write_text(_CLOUDS.format(url=self.url))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "KUBECONFIG"))}
        return kept | {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": cloud, "HOME": str(folder), "COLUMNS": "200"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            path = head.split()[1].decode()
            self.requests.append(path)
            content = next((value for start, value in self.answers.items() if path.startswith(start)), b"")
            for piece in self._list_pieces(content, path):
                writer.write(piece)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _list_pieces(self, content: object, path: str):
        if isinstance(content, Callable):
            content = content(path)
        if hasattr(content, "__next__"):
            return content
        if not isinstance(content, bytes):
            content = respond(json.dumps(content).encode())
        return [content or respond(b'{"errors": [{"detail": "not here"}]}', "404 Not Found")]


def respond(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """The octets of an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def serving_evil(**answers: object):
    """An evil server; the names of answers have `_` for `/`."""
    evil = EvilServer({f"/{name.replace('_', '/')}": content for name, content in answers.items()})
    server = await asyncio.start_server(evil.serve, "127.0.0.1", 0)
    async with server:
        evil.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield evil
    await asyncio.gather(*evil.tasks)
