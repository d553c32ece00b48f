"""Notifications of clusters to other services: that a wish was accepted, and how it ended.

The form is the published one (contract: container-infra, section 11): events `magnum.cluster.create`, `…update` and
`…delete`, a CADF event as the payload, in the envelope of OpenStack's message bus. Neighbours: the outbox, which holds
the payload; `conductor.periodic.outbox`, which puts it into its envelope; `events`, the same for users.
"""

import datetime as dt
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jeroboam.domain.clusters import MASTER, Cluster, NodeGroup, Operation, OperationOutcome

CADF = "http://schemas.dmtf.org/cloud/audit/1.0/event"
_NAMESPACE = uuid.UUID("0e6b1bd7-6e0c-4c52-a1f5-7f2d0b1f3a55")
# Labels are free-form, and some carry passwords by custom.
_SECRET = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)
HIDDEN = "***"


class ActionResult(StrEnum):
    """The result of a wish; CADF's `outcome`."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class Initiator:
    """Who asked; without a user it was the service itself."""

    user_id: str | None
    project_id: str
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A notification in its envelope. A notification has the same id each time it is sent."""

    message_id: str
    publisher_id: str
    event_type: str
    priority: str
    payload: Any
    timestamp: str


def event_type_of(cluster: Cluster) -> str:
    """Return the published event type of the cluster's operation; a rollback belongs to its update."""
    operation = Operation.UPDATE if cluster.operation is Operation.ROLLBACK else cluster.operation
    return f"magnum.cluster.{operation.lower()}"


def result_of(cluster: Cluster) -> ActionResult:
    """Return the result of the last wish. A rolled-back update has failed, even if the rollback succeeded."""
    if cluster.status.outcome is OperationOutcome.IN_PROGRESS:
        return ActionResult.PENDING
    has_completed = cluster.status.outcome is OperationOutcome.COMPLETE
    is_success = has_completed and cluster.operation is not Operation.ROLLBACK
    return ActionResult.SUCCESS if is_success else ActionResult.FAILURE


def build_cadf_event(
    cluster: Cluster, groups: Sequence[NodeGroup], initiator: Initiator, *, ident: str, now: dt.datetime
) -> dict[str, Any]:
    """Return the CADF event of the cluster's current state."""
    asker: dict[str, Any] = {
        "typeURI": "service/security/account/user" if initiator.user_id else "service/magnum",
        "id": initiator.user_id or "jeroboam-conductor",
        "project_id": initiator.project_id,
    }
    if initiator.user_id:
        asker["user_id"] = initiator.user_id
    if initiator.request_id:
        asker["request_id"] = initiator.request_id
    attachment = {
        "name": "cluster_data",
        "typeURI": "mime:application/json",
        "content": _build_cluster_data(cluster, groups),
    }
    payload: dict[str, Any] = {
        "typeURI": CADF,
        "eventType": "activity",
        "id": ident,
        "eventTime": now.isoformat(),
        "action": event_type_of(cluster).rpartition(".")[2],
        "outcome": result_of(cluster),
        "initiator": asker,
        "target": {"typeURI": "service/magnum/cluster", "id": cluster.uuid, "attachments": [attachment]},
        "observer": {"typeURI": "service/magnum/cluster", "id": "jeroboam"},
    }
    if cluster.status_reason and result_of(cluster) is ActionResult.FAILURE:
        payload["reason"] = {"reasonType": "status_reason", "reasonCode": cluster.status_reason}
    return payload


def _build_cluster_data(cluster: Cluster, groups: Sequence[NodeGroup]) -> dict[str, Any]:
    """Return the cluster as the API shows it, without links and without what may be a secret."""
    spec, observed = cluster.spec, cluster.observed

    def addresses(*, masters: bool) -> list[str]:
        members = (node for group in groups if (group.spec.role == MASTER) is masters for node in group.observed)
        return [node.address for node in members if node.address]

    return {
        "uuid": cluster.uuid,
        "name": cluster.name,
        "project_id": cluster.project_id,
        "user_id": cluster.user_id,
        "cluster_template_id": cluster.template_id,
        "coe": spec.template.coe,
        "stack_id": cluster.uuid,
        "keypair": spec.keypair,
        "master_count": sum(group.spec.node_count for group in groups if group.spec.role == MASTER),
        "node_count": sum(group.spec.node_count for group in groups if group.spec.role != MASTER),
        "docker_volume_size": spec.docker_volume_size,
        "labels": {key: HIDDEN if _SECRET.search(key) else value for key, value in spec.labels.items()},
        "master_flavor_id": spec.master_flavor_id,
        "flavor_id": spec.flavor_id,
        "create_timeout": spec.create_timeout,
        "fixed_network": spec.fixed_network,
        "fixed_subnet": spec.fixed_subnet,
        "floating_ip_enabled": spec.floating_ip_enabled,
        "master_lb_enabled": spec.master_lb_enabled,
        "status": cluster.status,
        "status_reason": cluster.status_reason,
        "health_status": cluster.health.health_status,
        "health_status_reason": cluster.health.health_status_reason,
        "api_address": observed.api_address,
        "coe_version": observed.coe_version,
        "container_version": observed.container_version,
        "node_addresses": addresses(masters=False),
        "master_addresses": addresses(masters=True),
        "created_at": cluster.created_at.isoformat(),
        "updated_at": None if cluster.updated_at is None else cluster.updated_at.isoformat(),
    }


def build_message(event_type: str, payload: str, *, number: int, at: dt.datetime, publisher_id: str) -> Message:
    """Return the message for an outbox entry with that number and time; `payload` is JSON text."""
    content = json.loads(payload)
    is_failure = isinstance(content, dict) and content.get("outcome") == ActionResult.FAILURE
    return Message(
        message_id=str(uuid.uuid5(_NAMESPACE, f"{publisher_id} {number} {at.isoformat()}")),
        publisher_id=publisher_id,
        event_type=event_type,
        priority="ERROR" if is_failure else "INFO",
        payload=content,
        timestamp=at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    )
