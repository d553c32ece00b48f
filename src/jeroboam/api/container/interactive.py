"""Interactive sessions: attach, exec with input, sizes of terminals (contract: container, section 3).

Two requests make a session. The first, with a token of Keystone, answers with the URL of a WebSocket; its token is good
once and for some minutes. The second opens the WebSocket, as the published clients do, with nothing but that URL.
Neighbours: `terminals`, which carries the bytes; `domain.interactive`.
"""

import datetime as dt
import secrets
from urllib.parse import urlsplit

from jeroboam.api.call import Answer, Call, Socket, reply
from jeroboam.api.container.actions import find_placed, or_word_none, read_arguments
from jeroboam.api.container.field_checks import split_command
from jeroboam.api.container.lookup import find_stored
from jeroboam.api.container.refusals import NoInteractiveFlag, SessionRefused
from jeroboam.api.container.shapes import Executed
from jeroboam.api.container.terminals import choose_subprotocol, serve_terminal
from jeroboam.api.fields import InvalidField, flag, integer, text
from jeroboam.domain.containers import Container
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.domain.interactive import (
    MAX_WAITING,
    TOKEN_SECONDS,
    InteractiveSession,
    SessionKind,
    hash_token,
)
from jeroboam.domain.states import check_action
from jeroboam.domain.streams import ByteStream, TerminalSize
from jeroboam.store import Transaction

_EXEC_ID = text(high=64, pattern=r"\A[0-9a-f]{64}\Z", rule="it has to be the exec_id that execute answered.")
_LENGTH = integer(low=1, high=10_000)
EXECUTE = {"command": text(high=65536), "run": or_word_none(flag), "interactive": or_word_none(flag)}
RESIZE = {"h": _LENGTH, "w": _LENGTH}
EXECUTE_RESIZE = {"exec_id": _EXEC_ID, **RESIZE}
CONNECT = {"token": text(high=128), "uuid": text(high=64), "exec_id": _EXEC_ID}
_TOKEN_BYTES = 32


async def attach(call: Call) -> Answer:
    """GET /containers/{}/attach: the URL of a WebSocket to the container's own process"""
    container, _ = await find_placed(call, "attach")
    if not container.spec.interactive:
        raise NoInteractiveFlag(f"Container {container.uuid} was not created with interactive: it takes no input.")
    return reply(await _ask_for_session(call, container, SessionKind.ATTACH, tty=container.spec.tty))


async def execute(call: Call) -> Answer:
    """POST /containers/{}/execute: a command in the container, to its end or with a WebSocket to it"""
    values = read_arguments(call, EXECUTE)
    if "command" not in values:
        raise InvalidField("command", None, "it is required.")
    words = split_command("command", values["command"])
    if not words:
        raise InvalidField("command", values["command"], "it has to contain at least one word.")
    container, host_id = await find_placed(call, "execute")
    body: Executed = {"output": None, "exit_code": None, "exec_id": None, "proxy_url": None}
    if values.get("run") in {None, True}:
        result = await call.parts.gateway.execute(host_id, container.uuid, words)
        body["output"], body["exit_code"] = result.output, result.exit_code
        return reply(body)
    body["exec_id"] = exec_id = secrets.token_hex(_TOKEN_BYTES)
    tty = bool(values.get("interactive"))
    body["proxy_url"] = await _ask_for_session(
        call, container, SessionKind.EXEC, tty=tty, exec_id=exec_id, command=tuple(words)
    )
    return reply(body)


async def _ask_for_session(
    call: Call,
    container: Container,
    kind: SessionKind,
    *,
    tty: bool,
    exec_id: str | None = None,
    command: tuple[str, ...] = (),
) -> str:
    """Store the session and return the URL of its WebSocket."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    async with call.parts.store.write() as tx:
        await tx.interactive_sessions.forget(tx.now)
        if await tx.interactive_sessions.count({"container_id": container.uuid}) >= MAX_WAITING:
            text = f"Container {container.uuid} has {MAX_WAITING} sessions that were asked for and not opened."
            raise Conflict(f"{text} They expire within {TOKEN_SECONDS // 60} minutes.")
        session = InteractiveSession(
            token_hash=hash_token(token),
            kind=kind,
            container_id=container.uuid,
            project_id=call.caller.project_id,
            user_id=call.caller.user_id,
            exec_id=exec_id,
            command=command,
            tty=tty,
            expires_at=tx.now + dt.timedelta(seconds=TOKEN_SECONDS),
        )
        await tx.interactive_sessions.insert(session)
    # ws for http, wss for https.
    base = "ws" + call.base.removeprefix("http")
    named = "" if exec_id is None else f"&exec_id={exec_id}"
    return f"{base}/v1/containers/{container.uuid}/websocket?token={token}&uuid={container.uuid}{named}"


async def resize(call: Call) -> Answer:
    """POST /containers/{}/resize: another size of the container's terminal"""
    size = _read_size(read_arguments(call, RESIZE))
    container, host_id = await find_placed(call, "resize")
    await call.parts.gateway.resize_terminal(host_id, container.uuid, None, size)
    return reply(None)


async def execute_resize(call: Call) -> Answer:
    """POST /containers/{}/execute_resize: another size of a command's terminal"""
    values = read_arguments(call, EXECUTE_RESIZE)
    if "exec_id" not in values:
        raise InvalidField("exec_id", None, "it is required.")
    size, exec_id = _read_size(values), values["exec_id"]
    container, host_id = await find_placed(call, "execute_resize")
    async with call.parts.store.write() as tx:
        is_waiting = await tx.interactive_sessions.set_size(container.uuid, exec_id, size)
    if not is_waiting:
        try:
            await call.parts.gateway.resize_terminal(host_id, container.uuid, exec_id, size)
        except NotFound as error:
            raise NotFound(error.detail, field="exec_id") from error
    return reply(None)


def _read_size(values: dict[str, int]) -> TerminalSize:
    for name in RESIZE:
        if name not in values:
            raise InvalidField(name, None, "it is required.")
    return TerminalSize(rows=values["h"], columns=values["w"])


async def connect(call: Call) -> Answer:
    """WEBSOCKET /containers/{}/websocket: the session that the token in the URL stands for"""
    _check_origin(call)
    subprotocol = choose_subprotocol(call.subprotocols)
    async with call.parts.store.write() as tx:
        session = await _take_session(tx, call)
        container = await find_stored(tx, session.container_id)
        if container is None or container.host_id is None:
            raise SessionRefused("The container of this session is gone.")
        check_action(container, "attach" if session.kind is SessionKind.ATTACH else "execute")
    call.subject.set_object(container.uuid, container.name)
    stream = await _open(call, session, container.host_id)

    async def serve(socket: Socket) -> None:
        await serve_terminal(stream, socket, subprotocol, call.parts.clock)

    return Answer(socket=serve, subprotocol=subprotocol)


async def _take_session(tx: Transaction, call: Call) -> InteractiveSession:
    """Return the session of the token in the URL, which is used up. Raises `SessionRefused`."""
    token = call.query.get("token", "")
    session = await tx.interactive_sessions.take(hash_token(token))
    wanted = {call.path["container"], call.query.get("uuid", call.path["container"])}
    if session is None or session.expires_at <= tx.now or wanted != {session.container_id}:
        raise SessionRefused("The token of this session is wrong, was used already, or has expired.")
    if call.query.get("exec_id", session.exec_id) != session.exec_id:
        raise SessionRefused("The token of this session belongs to another command.")
    return session


def _check_origin(call: Call) -> None:
    """Refuse a page of another site: a browser says where a WebSocket was opened from."""
    origin = call.origin
    if origin is None:
        return
    own = urlsplit(call.base)
    allowed = {f"{own.scheme}://{own.netloc}", *call.parts.options.cors_origins}
    if "*" not in allowed and _with_port(origin) not in {_with_port(site) for site in allowed}:
        raise SessionRefused(f"WebSockets from {origin[:200]!r} are not allowed; see [api] cors_origins.")


def _with_port(origin: str) -> str:
    """The origin with its port, which browsers leave out where it is the scheme's own."""
    try:
        parts = urlsplit(origin.lower())
        port = parts.port or {"https": 443, "wss": 443}.get(parts.scheme, 80)
    except ValueError:
        return origin
    return f"{parts.scheme}://{parts.hostname}:{port}"


async def _open(call: Call, session: InteractiveSession, host_id: str) -> ByteStream:
    gateway = call.parts.gateway
    if session.kind is SessionKind.ATTACH:
        return await gateway.open_attach(host_id, session.container_id)
    return await gateway.open_exec(
        host_id,
        session.container_id,
        session.command,
        tty=session.tty,
        size=session.size,
        exec_id=session.exec_id,
    )
