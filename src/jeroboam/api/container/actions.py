"""Actions on a container: wishes that are recorded, and live questions to its host.

Arguments come in the query or in the body, as published clients send them. A wish answers 202 with `null`. A question
is sent to the host outside any transaction, after the container's state was checked.
"""

import datetime as dt
import re
import signal
from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import Answer, Call, Handler, reply
from jeroboam.api.container.fields import refuse_unknown
from jeroboam.api.container.lookup import container_to_ask, container_to_change, record_op
from jeroboam.api.container.refusals import ContainerNotPlaced
from jeroboam.api.container.shapes import Sample
from jeroboam.api.fields import FieldCheck, InvalidField, flag, integer, read_fields, text
from jeroboam.api.streams import OutputBody
from jeroboam.domain.containers import Container, OpKind
from jeroboam.domain.errors import Invalid, NotFound

STOP_SECONDS = 10
LONGEST_STOP = 24 * 3600
_SIGNALS = {member.name: int(member) for member in signal.Signals}
_BY_NUMBER = {number: name for name, number in reversed(_SIGNALS.items())}
_SINCE = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:[,.](\d{1,6}))?", re.ASCII)


def read_arguments(call: Call, table: Mapping[str, FieldCheck]) -> dict[str, Any]:
    """The action's checked arguments, from the query and the body together."""
    body: dict[str, Any] = {}
    if call.body.strip():
        content = call.json()
        if content is not None and not isinstance(content, dict):
            raise Invalid("The body has to be a JSON object.", field="body")
        body = content or {}
    body = {**{name: value for name, value in call.query.items() if name != "all_projects"}, **body}
    refuse_unknown(body, table)
    return read_fields(body, table)


def or_word_none(check: FieldCheck) -> FieldCheck:
    """The same check; null, an empty string and the word None, which clients in Python send, are no value."""

    def run(name: str, value: Any) -> Any:
        absent = value is None or (isinstance(value, str) and value in {"None", ""})
        return None if absent else check(name, value)

    return FieldCheck(run, {"anyOf": [check.schema, {"enum": [None, "None", ""]}]})


STOP = {"timeout": or_word_none(integer(low=0, high=LONGEST_STOP))}


def build_handler(kind: OpKind) -> Handler:
    """The handler of an action without arguments."""

    async def handler(call: Call) -> Answer:
        read_arguments(call, {})
        return await _record(call, kind)

    handler.__doc__ = _summary(kind)
    return handler


def _summary(kind: OpKind) -> str:
    return f"POST /containers/{{}}/{kind}: {kind} the container"


async def _record(call: Call, kind: OpKind, **params: Any) -> Answer:
    async with call.parts.store.write() as tx:
        container = await container_to_change(tx, call, kind.value)
        await record_op(tx, call, container, kind, **params)
    return reply(None, 202)


def build_stop_handler(kind: OpKind) -> Handler:
    """The handler of stop and reboot, which give the process time to end."""

    async def handler(call: Call) -> Answer:
        values = read_arguments(call, STOP)
        timeout = values.get("timeout")
        return await _record(call, kind, timeout=STOP_SECONDS if timeout is None else timeout)

    handler.__doc__ = _summary(kind)
    return handler


def _read_signal(name: str, value: Any) -> str:
    """The signal's name with SIG, from its name in any spelling or from its number."""
    word = str(value).strip().upper() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if word.isascii() and word.isdigit() and len(word) <= len("64"):
        signal_name = _BY_NUMBER.get(int(word))
        if signal_name is not None:
            return signal_name
    full = word if word.startswith("SIG") else f"SIG{word}"
    if full not in _SIGNALS:
        raise InvalidField(name, value, "it has to be the name or the number of a signal.")
    return full


KILL = {"signal": or_word_none(FieldCheck(_read_signal, {"type": ["string", "integer"]}))}


async def kill(call: Call) -> Answer:
    """POST /containers/{}/kill: a signal to the container's process"""
    values = read_arguments(call, KILL)
    return await _record(call, OpKind.KILL, signal=values.get("signal") or "SIGKILL")


async def find_placed(call: Call, action: str, *, is_change: bool = False) -> tuple[Container, str]:
    """The container and its host. Raises `Conflict` if its state forbids the action or it has no host.

    `is_change`: the action changes the container, so containers of capsules are refused.
    """
    find = container_to_change if is_change else container_to_ask
    async with call.parts.store.read() as tx:
        container = await find(tx, call, action)
    if container.host_id is None:
        raise ContainerNotPlaced(f"Container {container.uuid} is not on any host.")
    return container, container.host_id


def _value_or(value: bool | None, *, default: bool) -> bool:
    return default if value is None else value


_LINES = integer(low=0)


def _read_tail(name: str, value: Any) -> int | None:
    return None if value == "all" else int(_LINES(name, value))


def _read_since(name: str, value: Any) -> float:
    """A Unix time, or a date and a time in UTC."""
    raw = str(value)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", raw, re.ASCII):
        return float(raw)
    match = _SINCE.fullmatch(raw)
    if match is None:
        raise InvalidField(name, value, "it has to be a Unix time or look like 2026-11-21 21:32:11,000.")
    try:
        moment = dt.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError as error:
        raise InvalidField(name, value, "there is no such time.") from error
    return moment.timestamp() + float(f"0.{match[3] or 0}")


LOGS = {
    "stdout": or_word_none(flag),
    "stderr": or_word_none(flag),
    "timestamps": or_word_none(flag),
    "tail": or_word_none(FieldCheck(_read_tail, {"anyOf": [*_LINES.schema["anyOf"], {"enum": ["all"]}]})),
    "follow": or_word_none(flag),
    "since": or_word_none(FieldCheck(_read_since, {"type": ["string", "number"]})),
}


async def logs(call: Call) -> Answer:
    """GET /containers/{}/logs: what the container has written; with `follow` as plain text, until it ends"""
    values = read_arguments(call, LOGS)
    if values.get("follow"):
        return await _follow_logs(call, values)
    async with call.parts.store.read() as tx:
        container = await container_to_ask(tx, call, "logs")
    if container.host_id is None:
        # It has never run, so it has no output.
        return reply("")
    try:
        answer = await call.parts.gateway.logs(
            container.host_id,
            container.uuid,
            stdout=_value_or(values.get("stdout"), default=True),
            stderr=_value_or(values.get("stderr"), default=True),
            timestamps=_value_or(values.get("timestamps"), default=False),
            tail=values.get("tail"),
            since=values.get("since"),
        )
    except NotFound:
        if container.observed.started_at is not None:
            message = f"Container {container.uuid} is gone from its host, and what it has written with it."
            raise NotFound(message) from None
        # The host does not have it yet, or failed to create it: its status_reason says why.
        answer = ""
    return reply(answer)


async def _follow_logs(call: Call, values: Mapping[str, Any]) -> Answer:
    container, host_id = await find_placed(call, "logs")
    stream = await call.parts.gateway.follow_logs(
        host_id,
        container.uuid,
        stdout=_value_or(values.get("stdout"), default=True),
        stderr=_value_or(values.get("stderr"), default=True),
        timestamps=_value_or(values.get("timestamps"), default=False),
        tail=values.get("tail"),
        since=values.get("since"),
    )
    return Answer(pieces=OutputBody(stream), media_type="text/plain; charset=utf-8")


# The characters of ps options: ps runs on the host.
_PS_ARGS = text(high=1024, pattern=r"\A[A-Za-z0-9 ,=:+%_.-]+\Z", rule="it has to be options of ps.")
TOP = {"ps_args": or_word_none(_PS_ARGS)}


async def top(call: Call) -> Answer:
    """GET /containers/{}/top: the container's processes"""
    values = read_arguments(call, TOP)
    container, host_id = await find_placed(call, "top")
    return reply(await call.parts.gateway.top(host_id, container.uuid, values.get("ps_args")))


async def stats(call: Call) -> Answer:
    """GET /containers/{}/stats: what the container uses"""
    container, host_id = await find_placed(call, "stats")
    sample = await call.parts.gateway.stats(host_id, container.uuid)
    use, limit = float(sample["memory_mib"]), float(sample["memory_limit_mib"])
    body: Sample = {
        "CONTAINER": container.name,
        "CPU %": round(float(sample["cpu_percent"]), 2),
        "MEM USAGE(MiB)": round(use, 2),
        "MEM LIMIT(MiB)": round(limit, 2),
        "MEM %": round(use / limit * 100, 2) if limit else 0.0,
        "BLOCK I/O(B)": f"{int(sample['block_read'])}/{int(sample['block_write'])}",
        "NET I/O(B)": f"{int(sample['net_rx'])}/{int(sample['net_tx'])}",
    }
    return reply(body)
