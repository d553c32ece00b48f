"""Bodies larger than memory, over a real socket, under the one table of routes."""

import asyncio
import hashlib
import io
from dataclasses import replace

import aiohttp
import pytest

from jeroboam.api.call import SOCKET, Answer
from jeroboam.api.openapi import build_document
from jeroboam.api.streams import OutputBody
from jeroboam.bootstrap.http import HttpLimits
from jeroboam.domain.streams import Channel, CloseReason, StreamEnding
from jeroboam.runtimes.fake_streams import FakeProcess
from tests.agent_rig import UUID
from tests.api.own_routes import Family, raw_request, route, serving_route, within
from tests.clock import settle
from tests.stream_rig import stream_rig

PIECE = b"x" * (16 << 10)
LARGE = 64 << 20
# What the system's buffers and the server's hold of a connection that nobody reads.
MOST_ON_THE_WAY = 16 << 20


class Source:
    """A body of so many pieces; None: without end. `taken` counts what the server has asked for."""

    def __init__(self, pieces=None, error=None, hang=False) -> None:
        self.pieces, self.error, self.hang = pieces, error, hang
        self.taken = 0
        self.closed = asyncio.Event()

    async def __aiter__(self):
        while self.pieces is None or self.taken < self.pieces:
            self.taken += 1
            yield PIECE
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed.set()


def answering(source):
    async def handler(call):
        """GET /things: all of them"""
        return Answer(pieces=source, media_type="application/x-tar")

    return handler


async def stands_still(source) -> int:
    """How much was taken once no more is."""
    before = -1
    while source.taken != before:
        before = source.taken
        for _ in range(4):
            await settle()
    return before


async def test_a_body_larger_than_memory_comes_whole(parts):
    source = Source(LARGE // len(PIECE))
    async with serving_route(parts, route(answering(source))) as client, client.get(client.path) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/x-tar"
        assert answer.headers["OpenStack-API-Version"]
        assert "Content-Length" not in answer.headers
        size = 0
        async for piece in answer.content.iter_any():
            size += len(piece)
    assert size == LARGE
    await within(source.closed.wait())


async def test_a_client_that_does_not_read_stops_the_body(parts):
    source = Source()
    async with serving_route(parts, route(answering(source))) as client, raw_request(client, "GET") as (reader, writer):
        writer.write(b"\r\n")
        await within(reader.readuntil(b"\r\n\r\n"))
        stopped = await stands_still(source)
        assert stopped * len(PIECE) < MOST_ON_THE_WAY
        size = 0
        while size < 2 * MOST_ON_THE_WAY:
            size += len(await within(reader.read(1 << 20)))
        assert source.taken > stopped
        assert not source.closed.is_set()


async def test_a_client_that_reads_nothing_for_too_long_is_given_up(parts):
    source = Source()
    limits = HttpLimits(answer_seconds=0.3)
    async with (
        serving_route(parts, route(answering(source)), limits=limits) as client,
        raw_request(client, "GET") as (_, writer),
    ):
        writer.write(b"\r\n")
        await within(source.closed.wait())


@pytest.mark.parametrize("hang", [True, False])
async def test_a_client_that_goes_away_ends_the_body(parts, hang):
    """Also of a body that is silent just then."""
    source = Source(1 if hang else None, hang=hang)
    async with serving_route(parts, route(answering(source))) as client:
        async with raw_request(client, "GET") as (reader, writer):
            writer.write(b"\r\n")
            await within(reader.readuntil(b"\r\n\r\n"))
            assert not source.closed.is_set()
        await within(source.closed.wait())


async def test_a_body_that_fails_is_cut_off_and_not_ended(parts):
    source = Source(3, error=RuntimeError("a bug"))
    async with serving_route(parts, route(answering(source))) as client, client.get(client.path) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    await within(source.closed.wait())


async def test_a_head_of_a_body_in_pieces_takes_none(parts):
    source = Source()
    routes = [route(answering(source)), route(answering(source), method="HEAD")]
    async with serving_route(parts, *routes) as client, client.head(client.path) as answer:
        assert answer.status == 200
    await within(source.closed.wait())
    assert source.taken == 0


async def test_the_output_of_a_stream_is_a_body(parts):
    process = FakeProcess()

    async def handler(call):
        return Answer(pieces=OutputBody(process), media_type="text/plain")

    async with serving_route(parts, route(handler)) as client, client.get(client.path) as answer:
        await process.print(b"one ")
        assert await within(answer.content.readexactly(4)) == b"one "
        await process.print(b"two", Channel.ERROR)
        await process.finish(StreamEnding(reason=CloseReason.ENDED, exit_code=0))
        assert await within(answer.content.read()) == b"two"


async def test_a_stream_that_is_broken_off_cuts_the_answer(parts):
    process = FakeProcess()

    async def handler(call):
        return Answer(pieces=OutputBody(process))

    async with serving_route(parts, route(handler)) as client, client.get(client.path) as answer:
        await process.print(b"one")
        assert await within(answer.content.readexactly(3)) == b"one"
        await process.finish(StreamEnding(reason=CloseReason.LOST, detail="the agent is away"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await within(answer.content.read())


async def test_a_client_that_goes_away_ends_the_stream(parts):
    process = FakeProcess()

    async def handler(call):
        return Answer(pieces=OutputBody(process))

    async with serving_route(parts, route(handler)) as client:
        async with raw_request(client, "GET") as (reader, writer):
            writer.write(b"\r\n")
            await within(reader.readuntil(b"\r\n\r\n"))
        assert (await within(process.wait_closed())).reason is CloseReason.CANCELLED


async def test_a_client_that_does_not_read_stops_the_command_in_the_container(parts, tmp_path):
    """The whole way: client, API, dispatch, session, agent, runtime."""
    async with stream_rig(tmp_path, "encoded") as rig:

        async def handler(call):
            return Answer(pieces=OutputBody(await rig.exec("flood", str(1 << 30))))

        async with serving_route(parts, route(handler)) as client:
            async with raw_request(client, "GET") as (reader, writer):
                writer.write(b"\r\n")
                await within(reader.readuntil(b"\r\n\r\n"))
                process, before = rig.process, -1
                while process.output.written != before:
                    before = process.output.written
                    for _ in range(4):
                        await settle()
                assert 0 < before < MOST_ON_THE_WAY
            assert (await within(process.wait_closed())).reason is CloseReason.CANCELLED
            await settle()
            assert rig.runtime.programs.running[UUID] == []


async def hash_upload(call):
    """POST /things: one more"""
    digest, size = hashlib.sha256(), 0
    async for piece in call.upload:
        digest.update(piece)
        size += len(piece)
    assert call.body == b""
    return Answer(body=f"{size} {digest.hexdigest()}".encode(), media_type="text/plain")


async def pieces_of(total):
    sent = 0
    while sent < total:
        yield PIECE
        sent += len(PIECE)


@pytest.fixture
def upload_parts(parts):
    """Uploads may be twice as large as other bodies by far."""
    return replace(parts, options=replace(parts.options, max_upload=LARGE))


async def test_an_upload_larger_than_memory_comes_whole(upload_parts):
    async with (
        serving_route(upload_parts, route(hash_upload, method="POST", upload=True)) as client,
        client.post(client.path, data=pieces_of(LARGE)) as answer,
    ):
        size, digest = (await answer.text()).split()
        assert (answer.status, int(size)) == (200, LARGE)
        assert digest == hashlib.sha256(b"x" * LARGE).hexdigest()


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_beyond_the_limit_is_refused(upload_parts, announced):
    data = io.BytesIO(b"x" * (LARGE + 1)) if announced else pieces_of(LARGE + 1)
    async with (
        serving_route(upload_parts, route(hash_upload, method="POST", upload=True)) as client,
        client.post(client.path, data=data, expect100=announced) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["errors"][0]["detail"] == "The request's body is too large."


async def test_an_upload_that_nobody_takes_stops_its_client(upload_parts):
    go_on = asyncio.Event()

    async def handler(call):
        await go_on.wait()
        return await hash_upload(call)

    async with (
        serving_route(upload_parts, route(handler, method="POST", upload=True)) as client,
        raw_request(client, "POST") as (reader, writer),
    ):
        writer.write(f"Content-Length: {LARGE}\r\n\r\n".encode())

        async def send():
            async for piece in pieces_of(LARGE):
                writer.write(piece)
                await writer.drain()

        sending = asyncio.ensure_future(send())
        await asyncio.wait({sending}, timeout=0.2)
        assert not sending.done()
        go_on.set()
        await within(sending)
        assert b"200 OK" in await within(reader.readuntil(b"\r\n\r\n"))


async def test_an_upload_may_take_as_long_as_it_comes_fast_enough(upload_parts):
    """The time for the body is over several times before its end."""
    limits = HttpLimits(body_seconds=0.1, body_octets_per_second=1 << 10)
    is_taken = asyncio.Event()

    async def handler(call):
        async for _ in call.upload:
            is_taken.set()
        return Answer(body=b"")

    async def one_after_the_other():
        """Each piece leaves once the handler has the one before it, so that the server never stops reading."""
        clock = asyncio.get_running_loop()
        end = clock.time() + 0.4
        while clock.time() < end:
            is_taken.clear()
            yield b"x" * 64
            await is_taken.wait()

    async with (
        serving_route(upload_parts, route(handler, method="POST", upload=True), limits=limits) as client,
        client.post(client.path, data=one_after_the_other()) as answer,
    ):
        assert answer.status == 200


async def test_an_upload_is_not_late_while_nobody_takes_it(upload_parts):
    go_on = asyncio.Event()

    async def handler(call):
        await go_on.wait()
        return await hash_upload(call)

    limits = HttpLimits(body_seconds=0.1, body_octets_per_second=1 << 30)
    async with serving_route(upload_parts, route(handler, method="POST", upload=True), limits=limits) as client:
        posting = asyncio.ensure_future(client.post(client.path, data=io.BytesIO(b"x" * (4 << 20))))
        await asyncio.wait({posting}, timeout=0.5)
        assert not posting.done()
        go_on.set()
        assert (await posting).status == 200


async def test_an_upload_that_trickles_is_given_up(upload_parts):
    limits = HttpLimits(body_seconds=0.2)
    async with (
        serving_route(upload_parts, route(hash_upload, method="POST", upload=True), limits=limits) as client,
        raw_request(client, "POST") as (reader, writer),
    ):
        writer.write(b"Content-Length: 1000\r\n\r\nx")
        assert b"408 Request Timeout" in await within(reader.read())


async def test_an_upload_that_is_cut_off_is_told_to_its_handler(upload_parts):
    ended = asyncio.Event()

    async def handler(call):
        try:
            return await hash_upload(call)
        finally:
            ended.set()

    async with serving_route(upload_parts, route(handler, method="POST", upload=True)) as client:
        async with raw_request(client, "POST") as (_, writer):
            writer.write(b"Content-Length: 1000\r\n\r\nx")
            await writer.drain()
        await within(ended.wait())


def test_uploads_are_in_the_document_and_websockets_are_not(parts):
    document = build_document(Family(route(hash_upload, method="POST", upload=True), route(hash_upload, method=SOCKET)))
    assert list(document["paths"]["/things"]) == ["post"]
    content = document["paths"]["/things"]["post"]["requestBody"]["content"]
    assert content == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
