"""Packet filter rules of this machine that keep containers of projects away from the machine itself.

Docker separates its bridges from each other, but each bridge leads to the machine. The rules match bridges by the
prefix of their names, `jrb-`, so they exist before any bridge does. The agent sets them again at each comparison
(`SupportsCleanup`). Neighbours: the `docker` runtime, which names its bridges so.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 15.0
# Instance metadata, and other services of the machine's own link.
_LINK_LOCAL = "169.254.0.0/16"
_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")


async def shield_host(bridges: str) -> tuple[str, ...]:
    """Keep new connections from bridges with that name prefix away from this machine and its link.

    Answers to connections of the machine pass. Return a sentence for each rule that does not hold; nothing if all hold.
    They do not hold if this process may not set them, if there is no `iptables`, or if the Engine does not pass packets
    through its chain DOCKER-USER (its option `iptables` is off, or it filters with nftables). The call is idempotent.
    """
    from_bridges = ["-i", f"{bridges}+"]
    new_packets = ["-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED"]
    rules = [
        ("iptables", "INPUT", [*from_bridges, *new_packets, "-j", "DROP"]),
        ("iptables", "DOCKER-USER", [*from_bridges, "-d", _LINK_LOCAL, "-j", "DROP"]),
    ]
    if _has_ipv6():
        rules.append(("ip6tables", "INPUT", [*from_bridges, *new_packets, "-j", "DROP"]))
    missing = [trouble for rule in rules if (trouble := await _ensure(*rule)) is not None]
    if not missing:
        # The chain remains after the Engine stops using it.
        code, error = await _run("iptables", "-C", "FORWARD", "-j", "DOCKER-USER")
        if code != 0:
            missing.append(f"iptables: FORWARD does not lead to DOCKER-USER ({error})")
    return tuple(missing)


async def _ensure(program: str, chain: str, rule: Sequence[str]) -> str | None:
    """Return why the rule is not set; None if it is set."""
    code, _ = await _run(program, "-C", chain, *rule)
    if code == 0:
        return None
    code, error = await _run(program, "-I", chain, "1", *rule)
    return None if code == 0 else f"{program}: no rule in {chain} ({error})"


def _has_ipv6() -> bool:
    """Whether bridges of this machine get addresses of version 6. An unknown answer counts as yes."""
    try:
        return _IPV6.read_text(encoding="ascii").strip() != "1" or bool(_IPV6_ADDRESSES.read_text(encoding="ascii"))
    except FileNotFoundError:
        return False
    except OSError:
        return True


async def _run(program: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the last line of the output."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-w", "5", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return 127, str(error.strerror or error)
    try:
        async with asyncio.timeout(_SECONDS):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"no end after {_SECONDS:g} s"
    return process.returncode or 0, errors.decode(errors="replace").strip().rpartition("\n")[2]
