"""How single members of a container are shown (contract: section 2, Fields). Neighbour: `fields`, the table of all."""

import datetime as dt
from collections.abc import Sequence

from jeroboam.api.container.shapes import AddressShape, HealthCheckShape, RestartPolicyShape
from jeroboam.domain.containers import Address, Container, HealthCheck, RestartPolicy, Status

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def stamp(moment: dt.datetime | None) -> str | None:
    """`2026-11-21 21:32:11`, in UTC, without a zone."""
    return None if moment is None else moment.replace(tzinfo=None).isoformat(" ")


def show_restart_policy(policy: RestartPolicy | None) -> RestartPolicyShape | None:
    """The policy with the published keys."""
    if policy is None:
        return None
    return {"Name": policy.name, "MaximumRetryCount": str(policy.maximum_retry_count)}


def show_healthcheck(health: HealthCheck | None) -> HealthCheckShape:
    """The health check; empty where there is none."""
    if health is None:
        return {}
    return {"test": health.test, "interval": health.interval, "retries": health.retries, "timeout": health.timeout}


def show_addresses(addresses: Sequence[Address]) -> dict[str, list[AddressShape]]:
    """The addresses by network."""
    by_network: dict[str, list[AddressShape]] = {}
    for address in addresses:
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
            health = f" ({observed.health})" if container.spec.healthcheck is not None and observed.health else ""
            return f"Up {_format_age(observed.started_at, now)}{health}"
        case Status.PAUSED:
            return f"Up {_format_age(observed.started_at, now)} (paused)"
        case Status.STOPPED:
            return f"Exited({observed.exit_code or 0}) {_format_age(observed.finished_at, now)} ago "
        case Status.CREATED | Status.RESTARTING | Status.DEAD:
            return container.status.value
        case Status.ERROR if observed.finished_at is not None:
            return f"Exited({observed.exit_code or 0}) {_format_age(observed.finished_at, now)} ago (error)"
        case _:
            return None


def _format_age(since: dt.datetime | None, now: dt.datetime) -> str:
    if since is None:
        return "a moment"
    seconds = max(0, int((now - since).total_seconds()))
    for size, word in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "min")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'}"
    return f"{seconds} sec{'' if seconds == 1 else 's'}"
