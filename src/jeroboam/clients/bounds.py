"""Bounds on the answers of servers that a user may control, such as the nodes of a cluster.

The library reads an answer of any size to its end, and skips any number of informational answers (1xx).
Neighbours: every client here that opens a session.
"""

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MOST_INFORMATIONAL = 16
"""The most informational answers before the final one. Servers send at most one for each that the client asked for."""


class AnswerTooLarge(aiohttp.ClientPayloadError):
    """The answer is larger than its bound."""


class BoundedResponse(aiohttp.ClientResponse):
    """An answer that is abandoned if its unpacked size exceeds `max_octets`, or if it does not begin.

    The bound holds for answers that are read whole. A caller that reads pieces has to count them.
    """

    max_octets = 16 << 20

    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        """Begin to read. Raises `aiohttp.ClientPayloadError` after too many informational answers."""
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
    """A bounded answer for servers that list thousands of objects."""

    max_octets = 64 << 20
