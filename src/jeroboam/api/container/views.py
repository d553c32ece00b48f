"""The published views of containers (contract: section 2, Fields)."""

import datetime as dt
from typing import Literal, get_args

from jeroboam.api.call import Call
from jeroboam.api.container.shapes import AddressShape, ContainerShape
from jeroboam.api.wire import links
from jeroboam.domain.containers import Container, Status

# Shown only to callers that the policy allows.
Guarded = Literal["host", "image_pull_policy", "privileged", "runtime"]
GUARDED: tuple[Guarded, ...] = get_args(Guarded)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def hidden_from(call: Call) -> tuple[Guarded, ...]:
    """The keys that this caller may not see."""
    return tuple(key for key in GUARDED if not call.allows(f"container:get_one:{key}"))


def stamp(moment: dt.datetime | None) -> str | None:
    """`2026-11-21 21:32:11`, in UTC, without a zone."""
    return None if moment is None else moment.replace(tzinfo=None).isoformat(" ")


def single(container: Container, call: Call) -> ContainerShape:
    """One container, with its links."""
    body = view(container, hidden_from(call), call.parts.clock.now())
    body["links"] = links(call.base, "containers", container.uuid)
    return body


def view(container: Container, hidden_keys: tuple[Guarded, ...], now: dt.datetime) -> ContainerShape:
    """A container as lists show it, without the keys that the caller may not see."""
    spec, observed = container.spec, container.observed
    policy, health = spec.restart_policy, spec.healthcheck
    body: ContainerShape = {
        "uuid": container.uuid,
        "name": container.name,
        "project_id": container.project_id,
        "user_id": container.user_id,
        "image": spec.image,
        "cpu": spec.cpu,
        "cpu_policy": spec.cpu_policy,
        "memory": str(spec.memory),
        "command": spec.command or (),
        "status": container.status,
        "status_reason": container.status_reason,
        "task_state": container.task_state,
        "environment": spec.environment,
        "workdir": spec.workdir,
        "auto_remove": spec.auto_remove,
        "ports": observed.ports,
        "hostname": observed.hostname or spec.hostname,
        "labels": spec.labels,
        "addresses": _addresses(container) if observed.addresses else {},
        "image_pull_policy": spec.image_pull_policy or "always",
        "host": container.host,
        "restart_policy": None
        if policy is None
        else {"Name": policy.name, "MaximumRetryCount": str(policy.maximum_retry_count)},
        "status_detail": status_detail(container, now),
        "interactive": spec.interactive,
        "tty": spec.tty,
        "image_driver": spec.image_driver,
        "security_groups": spec.security_groups,
        "runtime": spec.runtime,
        "disk": spec.disk or 0,
        "auto_heal": spec.auto_heal,
        "privileged": spec.privileged,
        "healthcheck": {}
        if health is None
        else {
            "test": health.test,
            "interval": health.interval,
            "retries": health.retries,
            "timeout": health.timeout,
        },
        "registry_id": spec.registry_id,
        "entrypoint": spec.entrypoint,
        "created_at": stamp(container.created_at),
        "updated_at": stamp(container.updated_at),
    }
    for key in hidden_keys:
        del body[key]
    return body


def _addresses(container: Container) -> dict[str, list[AddressShape]]:
    by_network: dict[str, list[AddressShape]] = {}
    for address in container.observed.addresses:
        by_network.setdefault(address.network, []).append(
            {
                "addr": address.addr,
                "version": address.version,
                "port": address.port,
                "subnet_id": address.subnet_id,
                "preserve_on_delete": address.preserve_on_delete,
            }
        )
    return by_network


def status_detail(container: Container, now: dt.datetime) -> str | None:
    """The status in words with its duration, at the time of the request."""
    observed = container.observed
    match container.status:
        case Status.RUNNING:
            return f"Up {_ago(observed.started_at, now)}"
        case Status.PAUSED:
            return f"Up {_ago(observed.started_at, now)} (paused)"
        case Status.STOPPED:
            return f"Exited({observed.exit_code or 0}) {_ago(observed.finished_at, now)} ago "
        case Status.CREATED | Status.RESTARTING | Status.DEAD:
            return container.status.value
        case Status.ERROR if observed.finished_at is not None:
            return f"Exited({observed.exit_code or 0}) {_ago(observed.finished_at, now)} ago (error)"
        case _:
            return None


def _ago(since: dt.datetime | None, now: dt.datetime) -> str:
    if since is None:
        return "a moment"
    seconds = max(0, int((now - since).total_seconds()))
    for size, word in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "min")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'}"
    return f"{seconds} sec{'' if seconds == 1 else 's'}"
