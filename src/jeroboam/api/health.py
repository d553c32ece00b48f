"""`/healthcheck`: whether this process can serve requests, and in detail which part of the service does not work.

The detailed answer is for callers on this machine and for admins. It holds no secret, but a stranger would learn which
part is weak right now, and every look asks Keystone and the Engine. Anybody else gets the plain answer with the same
status, so that the probes of load balancers go on working. Neighbours: `app`; bootstrap has the checks of other parts.
"""

import asyncio
import ipaddress
from urllib.parse import urlsplit

import structlog

from jeroboam.api.call import Answer, reply
from jeroboam.api.edge import RequestHead
from jeroboam.api.parts import ApiParts, HealthCheck
from jeroboam.domain.booleans import read_flag
from jeroboam.domain.errors import Refused
from jeroboam.kit.clock import DeadlineExceeded, run_within

CHECK_SECONDS = 6.0
# A proxy on this machine passes on requests of others.
_FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "x-original-host", "x-envoy-external-address"})
_FORWARDING_PREFIX = "x-forwarded-"

log = structlog.get_logger("jeroboam.api.health")


async def answer_health(head: RequestHead, parts: ApiParts) -> Answer:
    """The state of this process; 503 while it cannot serve requests.

    What does not work besides is listed among the reasons of a 200: a host whose runtime does not answer, and in the
    detailed answer the parts that `ApiParts.details` checks.
    """
    broken = [text for check in (parts.store.check, *parts.health) if (text := await check()) is not None]
    away = [] if broken else await _describe_silent_hosts(parts)
    body: dict[str, object] = {"detailed": bool(broken), "reasons": [*broken, *away]}
    if _wants_details(head) and await _may_see_details(head, parts):
        names = list(parts.details)
        faults = await asyncio.gather(*(_run_check(parts, name) for name in names))
        body["detailed"] = True
        body["reasons"] = [*broken, *away, *(fault for fault in faults if fault is not None)]
        states = {name: fault is None for name, fault in zip(names, faults, strict=True)}
        body["checks"] = {"database": not broken, "hosts": not away, **states}
    return reply(body, 503 if broken else 200)


async def list_health_faults(parts: ApiParts) -> list[str]:
    """What anybody may know of what does not work; empty if all is well."""
    broken = [text for check in (parts.store.check, *parts.health) if (text := await check()) is not None]
    return broken or await _describe_silent_hosts(parts)


def _wants_details(head: RequestHead) -> bool:
    """Whether the query has `detailed`, with any value but a word for no."""
    return any(key == "detailed" and read_flag(value) is not False for key, value in head.pairs)


async def _may_see_details(head: RequestHead, parts: ApiParts) -> bool:
    if is_from_this_machine(head):
        return True
    token = head.headers.get("x-auth-token")
    try:
        caller = await parts.tokens.caller(token) if token else None
    except Refused:
        # Keystone does not answer, or the token is for no project: the plain answer says all there is to say.
        return False
    return caller is not None and caller.is_admin and caller.access_rules is None


def is_from_this_machine(head: RequestHead) -> bool:
    """Whether the request came over loopback to a loopback address, and no proxy says that it passes it on.

    The name of a page that a browser on this machine shows may be made to lead here (DNS rebinding). The page could
    then read the answer, but its name stands in the Host header.
    """
    if any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIX) for name in head.headers):
        return False
    try:
        host = urlsplit(f"//{head.headers.get('host', '')}")
    except ValueError:
        return False
    if host.hostname is None or "@" in host.netloc or host.path:
        return False
    return _is_loopback(head.peer) and (host.hostname == "localhost" or _is_loopback(host.hostname))


def _is_loopback(text: str | None) -> bool:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


async def _run_check(parts: ApiParts, name: str) -> str | None:
    """What is wrong with that part; None if it works. A check that fails itself counts as a part that does not work."""
    check: HealthCheck = parts.details[name]
    try:
        return await run_within(parts.clock, CHECK_SECONDS, check())
    except DeadlineExceeded:
        return f"The check of {name} did not end within {CHECK_SECONDS:g} seconds."
    except Exception:
        log.exception("a health check failed", check=name)
        return f"The check of {name} failed; the log says why."


async def _describe_silent_hosts(parts: ApiParts) -> list[str]:
    """How many hosts have a runtime that does not answer. Administrators see which ones in the list of hosts."""
    async with parts.store.read() as tx:
        hosts = await tx.hosts.select()
    away = sum(host.runtime_error is not None for host in hosts)
    return [f"The runtimes of {away} of {len(hosts)} hosts do not answer."] if away else []
