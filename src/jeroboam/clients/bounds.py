"""Bounds on what a server may answer, for servers that a user may have in hand: the nodes of a cluster among them.

The library reads an answer to its end however long it is, and reads over as many informational answers (1xx) as come.
Neighbours: every client here that opens a session.
"""

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MOST_INFORMATIONAL = 16
"""Informational answers before the answer proper. Servers send one at most for each that the client asked for."""


class AnswerTooLarge(aiohttp.ClientPayloadError):
    """The answer is larger than its bound."""


class BoundedResponse(aiohttp.ClientResponse):
    """An answer that is given up when it is larger than `max_octets` when unpacked, or does not begin.

    The bound holds for answers that are read whole; whoever reads pieces counts them.
    """

    max_octets = 16 << 20

    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        """Begin to read. Raises `aiohttp.ClientPayloadError` for informational answers without end."""
        protocol = connection.protocol
        assert protocol is not None
        read, remaining = protocol.read, MOST_INFORMATIONAL + 1

        async def read_bounded() -> object:
            nonlocal remaining
            if not remaining:
                raise aiohttp.ClientPayloadError(f"more than {MOST_INFORMATIONAL} informational answers")
            remaining -= 1
            return await read()

        protocol.read = read_bounded  # type: ignore[method-assign, assignment]
        try:
            return await super().start(connection)
        finally:
            del protocol.read

    async def read(self) -> bytes:
        """Read the whole answer. Raises `AnswerTooLarge`."""
        if self._body is None:
            content = bytearray()
            try:
                async for piece in self.content.iter_any():
                    content += piece
                    if len(content) > self.max_octets:
                        raise AnswerTooLarge(f"the answer is larger than {self.max_octets} octets")
            except BaseException:
                self.close()
                raise
            self._body = bytes(content)
        return await super().read()


class LargeResponse(BoundedResponse):
    """The same for servers that list thousands of objects."""

    max_octets = 64 << 20
