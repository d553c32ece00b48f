"""A client that calls an ASGI application directly, as a server would."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json()["errors"][0]


class Client:
    """Requests of one caller at one microversion of one family."""

    def __init__(
        self,
        app,
        prefix: str,
        token: str | None = "member",
        version: str | None = None,
        *,
        peer: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.prefix = prefix
        self.token = token
        self.version = version
        self.peer = peer

    def as_(self, token: str | None) -> "Client":
        return Client(self.app, self.prefix, token, self.version)

    def at(self, version: str | None) -> "Client":
        return Client(self.app, self.prefix, self.token, version)

    async def get(self, path: str, **options) -> Answer:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options) -> Answer:
        return await self.request("POST", path, body, **options)

    async def patch(self, path: str, body: Any = None, **options) -> Answer:
        return await self.request("PATCH", path, body, **options)

    async def put(self, path: str, body: Any = None, **options) -> Answer:
        return await self.request("PUT", path, body, **options)

    async def delete(self, path: str, **options) -> Answer:
        return await self.request("DELETE", path, **options)

    def _headers(self, more: dict[str, str | None] | None) -> list[tuple[bytes, bytes]]:
        headers: dict[str, str | None] = {"host": "cloud:9511", "content-type": "application/json"}
        headers["x-auth-token"] = self.token
        if self.version is not None:
            word = "container" if self.prefix == "/container" else "container-infra"
            headers["openstack-api-version"] = f"{word} {self.version}"
        headers.update(more or {})
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value is not None]

    async def request(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers=None, cut: bool = False
    ) -> Answer:
        """One request. `path` starts below the prefix; `raw` is a body as it stands, `cut` ends it early."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        plain, _, query = (self.prefix + path).partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(plain),
            "raw_path": plain.encode(),
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": self._headers(headers),
            "server": ("127.0.0.1", 80),
            "client": (self.peer, 40000),
        }
        sent: list[dict[str, Any]] = []
        received: list[bool] = []

        async def receive() -> dict[str, Any]:
            if cut and received:
                return {"type": "http.disconnect"}
            if received:
                # The client neither sends more nor goes away.
                await asyncio.Event().wait()
            received.append(True)
            return {"type": "http.request", "body": content, "more_body": cut}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, rest = sent[0], sent[1:]
        got = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], got, b"".join(message["body"] for message in rest))
