"""Rules of this machine's packet filter that keep containers of projects away from the machine itself.

Docker separates its bridges from each other, and every one of them leads to the machine. Neighbours: the `docker`
runtime, whose bridges are matched by the beginning of their names, so that the rules stand before any bridge does.
"""

import asyncio
from collections.abc import Sequence

import structlog

log = structlog.get_logger("jeroboam.clients.firewall")

_SECONDS = 15.0
# Instance metadata and whatever else belongs to the machine's own link.
_LINK_LOCAL = "169.254.0.0/16"


async def shield_host(bridges: str) -> bool:
    """Let nothing that comes in by a bridge whose name begins so begin to speak to this machine.

    What the machine itself has begun is answered. Whether the rules stand now: False where this process may not set
    them, or there is no `iptables`. Asking again changes nothing.
    """
    entering = ["-i", f"{bridges}+"]
    unasked = ["-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED"]
    rules = (
        ("iptables", "INPUT", [*entering, *unasked, "-j", "DROP"]),
        ("iptables", "DOCKER-USER", [*entering, "-d", _LINK_LOCAL, "-j", "DROP"]),
        ("ip6tables", "INPUT", [*entering, *unasked, "-j", "DROP"]),
    )
    for program, chain, rule in rules:
        if not await _ensure(program, chain, rule) and (program, chain) == ("iptables", "INPUT"):
            return False
    return True


async def _ensure(program: str, chain: str, rule: Sequence[str]) -> bool:
    code, _ = await _run(program, "-C", chain, *rule)
    if code == 0:
        return True
    code, words = await _run(program, "-I", chain, "1", *rule)
    if code != 0:
        log.warning("a rule of the packet filter cannot be set", program=program, chain=chain, error=words)
    return code == 0


async def _run(program: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the last line that was printed."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-w", "5", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return 127, str(error.strerror or error)
    try:
        async with asyncio.timeout(_SECONDS):
            _, printed = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"no end after {_SECONDS:g} s"
    return process.returncode or 0, printed.decode(errors="replace").strip().rpartition("\n")[2]
