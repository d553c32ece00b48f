"""Archives that go into containers of a Docker Engine and come out of them.

The Engine packs and unpacks inside the container's own root, so no path and no link leads out of it. It is read no
faster than the stream, and gets an upload piece by piece. Neighbours: `docker_streams`, for processes; the `docker`
runtime.
"""

import asyncio
import base64
import binascii
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

import aiodocker
import aiohttp

from jeroboam.clients.docker import CONNECT_SECONDS, build_url, read_error
from jeroboam.clients.docker_streams import EngineStream, OutputStream
from jeroboam.domain.archives import PathStat
from jeroboam.domain.errors import Temporary
from jeroboam.domain.streams import Channel, Chunk, CloseReason, StreamClosed, StreamEnding, TerminalSize

_PIECE_BYTES = 64 << 10
_PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None)
_STAT = "X-Docker-Container-Path-Stat"
_AWAY = StreamEnding(reason=CloseReason.UNAVAILABLE, detail="the Docker Engine has closed the connection")


async def stat_path(engine: aiodocker.Docker, container: str, path: str) -> PathStat:
    """Return what the Engine knows of the path. Raises `aiodocker.DockerError`: 404 if there is none."""
    async with engine.session.head(_url(engine, container), params={"path": path}) as response:
        if not response.ok:
            # An answer to HEAD has no text.
            # It is a 500 where a part of the path is a file, or longer than a name may be.
            absent = {HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR}
            text = "no such file or folder" if response.status in absent else f"status {response.status}"
            raise aiodocker.DockerError(HTTPStatus.NOT_FOUND if response.status in absent else response.status, text)
        return _read_stat(response.headers.get(_STAT, ""))


def _read_stat(header: str) -> PathStat:
    try:
        stat = json.loads(base64.b64decode(header))
        return PathStat(
            name=str(stat["name"]),
            size=int(stat["size"]),
            mode=int(stat["mode"]),
            mtime=str(stat["mtime"]),
            link_target=str(stat["linkTarget"]),
        )
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise Temporary("the Docker Engine described the path in a form that cannot be read") from error


def _url(engine: aiodocker.Docker, container: str) -> str:
    return build_url(engine, f"containers/{container}/archive")


async def write_files(engine: aiodocker.Docker, container: str, files: Mapping[str, bytes]) -> None:
    """Write files, by their path from the root; folders on the way are made. Raises `aiodocker.DockerError`."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    data = into.getvalue()
    async with engine.session.put(_url(engine, container), params={"path": "/"}, data=data) as response:
        if not response.ok:
            raise aiodocker.DockerError(response.status, await read_error(response))


class ArchiveReader(OutputStream):
    """An archive that comes out. Implements `ByteStream`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__()
        self._response = response

    async def receive(self) -> Chunk | None:
        while self._ending is None:
            try:
                data = await self._response.content.read(_PIECE_BYTES)
            except (aiohttp.ClientError, OSError) as error:
                raise StreamClosed(self._finish(_AWAY)) from error
            if data:
                return Chunk(channel=Channel.OUTPUT, data=data)
            self._finish(StreamEnding(reason=CloseReason.ENDED))
        if self._ending.reason is CloseReason.ENDED:
            return None
        raise StreamClosed(self._ending)

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        self._finish(StreamEnding(reason=reason, detail=detail))
        self._response.close()


async def open_reader(engine: aiodocker.Docker, container: str, path: str) -> ArchiveReader:
    """Pack the file or folder. Raises `aiodocker.DockerError`: 404 if there is none."""
    response = await engine.session.get(_url(engine, container), params={"path": path}, timeout=_PATIENT)
    if not response.ok:
        async with response:
            raise aiodocker.DockerError(response.status, await read_error(response))
    return ArchiveReader(response)


class ArchiveWriter(EngineStream):
    """An archive that goes in. Implements `ByteStream`; there is no output."""

    def __init__(self, engine: aiodocker.Docker, container: str, path: str) -> None:
        super().__init__()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._is_over = asyncio.Event()
        self._upload = asyncio.ensure_future(self._run(engine, container, path))

    async def send(self, data: bytes) -> None:
        await self._put(data)

    async def end(self) -> None:
        await self._put(None)

    async def _put(self, piece: bytes | None) -> None:
        """Hand the piece on. Raises `StreamClosed` if the Engine takes no more."""
        self._check_open()
        putting = asyncio.ensure_future(self._pieces.put(piece))
        over = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({putting, over}, return_when=asyncio.FIRST_COMPLETED)
            if not putting.done():
                self._check_open()
        finally:
            putting.cancel()
            over.cancel()

    async def resize(self, size: TerminalSize) -> None:
        """Do nothing: there is no terminal."""

    async def receive(self) -> Chunk | None:
        """Return None once all is unpacked. Raises `StreamClosed` with the Engine's reason if it could not be."""
        ending = await self.wait_closed()
        if ending.reason is not CloseReason.ENDED:
            raise StreamClosed(ending)
        return None

    async def _list_pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def _run(self, engine: aiodocker.Docker, container: str, path: str) -> None:
        url, headers = _url(engine, container), {"Content-Type": "application/x-tar"}
        try:
            async with engine.session.put(
                url, params={"path": path}, data=self._list_pieces(), headers=headers, timeout=_PATIENT
            ) as response:
                if response.ok:
                    self._finish(StreamEnding(reason=CloseReason.ENDED))
                else:
                    self._finish(_explain(response.status, await read_error(response)))
        except (aiohttp.ClientError, OSError):
            self._finish(_AWAY)

    async def close(self, reason: CloseReason = CloseReason.CANCELLED, detail: str = "") -> None:
        self._finish(StreamEnding(reason=reason, detail=detail))
        self._upload.cancel()
        await asyncio.wait({self._upload})


def _explain(status: int, text: str) -> StreamEnding:
    # The Engine says 500 for an archive that it cannot unpack as well; it is the user's all the same.
    reason = CloseReason.GONE if "no such container" in text.lower() else CloseReason.INVALID
    return StreamEnding(reason=reason, detail=text or f"status {status}")
