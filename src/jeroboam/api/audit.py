"""The audit: one record for each write that a known caller attempted, refused ones included.

`app` calls this module when the answer is known. A record holds no body, no query and no header, so it cannot hold a
secret. Neighbours: `Call.subject`, where handlers note the object of a request; the port `ApiParts.audit`, which takes
the records.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import msgspec
import structlog

from jeroboam.domain.caller import Caller
from jeroboam.kit.ids import is_uuid

log = structlog.get_logger("jeroboam.audit")

READS = frozenset({"GET", "HEAD", "OPTIONS"})
_DENIED = frozenset({401, 403})
_CLIENT_ERRORS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One write, or an attempt at one."""

    request_id: str
    user_id: str
    user_name: str
    project_id: str
    roles: tuple[str, ...]
    action: str
    """The policy rule that was checked."""
    object_type: str
    object: str | None
    """Ids or names in the path, the cluster's before its group's; None where the path names no object."""
    object_id: str | None
    object_name: str | None
    outcome: str
    """`success`; `denied` where policy, a quota or a limit forbids it; otherwise `failed`."""
    status: int


@dataclass(slots=True)
class AuditSubject:
    """The object of a request, as far as its handler knows it."""

    uuid: str | None = None
    name: str | None = None

    def set_object(self, uuid: str, name: str | None = None) -> None:
        """Set the object's uuid and name."""
        self.uuid, self.name = uuid, name


@dataclass(slots=True)
class RequestTrace:
    """What the log, the metrics and the audit need of a request. It is filled in while the request is answered."""

    family: str = ""
    route: str = ""
    rule: str | None = None
    caller: Caller | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    subject: AuditSubject = field(default_factory=AuditSubject)


class _ObjectInAnswer(msgspec.Struct):
    """The id and name in an answer's body."""

    uuid: str | None = None
    cluster_uuid: str | None = None
    name: str | None = None


_read = msgspec.json.Decoder(_ObjectInAnswer).decode


def to_log(record: AuditRecord) -> None:
    """Write the record to the log. This is the default of `ApiParts.audit`."""
    log.info("audit", logger="jeroboam.audit", **asdict(record))


def record_of(trace: RequestTrace, *, method: str, request_id: str, status: int, answer: bytes) -> AuditRecord | None:
    """The record of a request and its answer; None for a read, a path without a rule and an unknown caller."""
    caller = trace.caller
    if method in READS or trace.rule is None or caller is None:
        return None
    path_values = list(trace.path.values())
    good = status < _CLIENT_ERRORS
    uuid, name = _object_of(trace.subject, answer if good else b"", path_values[-1] if path_values else None)
    return AuditRecord(
        request_id=request_id,
        user_id=caller.user_id,
        user_name=caller.user_name,
        project_id=caller.project_id,
        roles=tuple(sorted(caller.roles)),
        action=trace.rule,
        object_type=trace.rule.partition(":")[0],
        object="/".join(path_values) or None,
        object_id=uuid,
        object_name=name,
        outcome="success" if good else "denied" if status in _DENIED else "failed",
        status=status,
    )


def _object_of(subject: AuditSubject, answer: bytes, path_value: str | None) -> tuple[str | None, str | None]:
    """Id and name of the object: from the handler, else from the answer, else from the path."""
    if subject.uuid is not None:
        return subject.uuid, subject.name
    if answer:
        try:
            body = _read(answer)
        except msgspec.DecodeError:
            body = _ObjectInAnswer()  # the answer is not an object, or not JSON
        if (uuid := body.uuid or body.cluster_uuid) is not None:
            return uuid, body.name
    return (path_value, None) if path_value is not None and is_uuid(path_value) else (None, path_value)
