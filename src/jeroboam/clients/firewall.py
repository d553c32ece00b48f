"""Packet filter rules of this machine that keep containers of projects away from the machine itself.

Docker separates its bridges from each other, but each bridge leads to the machine. The rules match bridges by the
prefix of their names, `jrb-`, so they exist before any bridge does. The agent sets them again at each comparison
(`SupportsCleanup`). Neighbours: the `docker` runtime, which names its bridges so.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 15.0
# Instance metadata, and other services of the machine's own link.
_LINK_LOCAL = "169.254.0.0/16"
_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


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


async def list_chains(prefix: str) -> tuple[str, ...] | None:
    """Return the names of the chains that begin so; None if the packet filter does not tell."""
    code, output, _ = await _run_with_output("iptables-save", "-t", "filter")
    if code != 0:
        return None
    names = (line[1:].split()[0] for line in output.splitlines() if line.startswith(":"))
    return tuple(name for name in names if name.startswith(prefix))


async def set_chains(chain: str, rules: str, *, bridges: str) -> tuple[str, ...]:
    """Have the rules replaced by these, all at once, and lead packets of such bridges to the chain.

    Packets between two ends of one bridge have to pass the filter too. Return a sentence for each thing that does not
    hold; nothing if all hold.
    """
    code, _, error = await _run_with_output("iptables-restore", "-w", "5", "--noflush", text=rules)
    if code != 0:
        return (f"iptables-restore: the rules are not set ({error})",)
    jumps = [("iptables", "DOCKER-USER", [flag, f"{bridges}+", "-j", chain]) for flag in ("-i", "-o")]
    # A packet within a bridge has both, and is looked at once.
    jumps[1][2][:0] = ["!", "-i", f"{bridges}+"]
    missing = [trouble for jump in jumps if (trouble := await _ensure(*jump)) is not None]
    code, error = await _run("iptables", "-C", "FORWARD", "-j", "DOCKER-USER")
    if code != 0:
        missing.append(f"iptables: FORWARD does not lead to DOCKER-USER ({error})")
    if not _filters_bridges():
        missing.append("packets within a bridge do not pass the filter (net.bridge.bridge-nf-call-iptables is not 1)")
    return tuple(missing)


async def remove_chains(chain: str, rules: str) -> None:
    """Have the rules replaced by these, which leave the chain empty, and lead no packets to it. No fault is raised."""
    await _run_with_output("iptables-restore", "-w", "5", "--noflush", text=rules)
    code, output, _ = await _run_with_output("iptables-save", "-t", "filter")
    lines = output.splitlines() if code == 0 else []
    for line in lines:
        if line.startswith("-A DOCKER-USER ") and line.endswith(f" -j {chain}"):
            await _run("iptables", "-D", *line.split()[1:])
    await _run("iptables", "-X", chain)


def _filters_bridges() -> bool:
    """Whether packets within a bridge pass the filter; it is switched on if this process may."""
    with contextlib.suppress(OSError):
        if _BRIDGE_FILTER.read_text(encoding="ascii").strip() != "1":
            _BRIDGE_FILTER.write_text("1\n", encoding="ascii")
        return _BRIDGE_FILTER.read_text(encoding="ascii").strip() == "1"
    return False


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
    """Return the exit code and the last line of the errors."""
    code, _, error = await _run_with_output(program, "-w", "5", *arguments)
    return code, error


async def _run_with_output(program: str, *arguments: str, text: str | None = None) -> tuple[int, str, str]:
    """Return the exit code, the output, and the last line of the errors. `text` is what the program reads."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if text is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return 127, "", str(error.strerror or error)
    try:
        async with asyncio.timeout(_SECONDS):
            output, errors = await process.communicate(None if text is None else text.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, "", f"no end after {_SECONDS:g} s"
    error_line = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return process.returncode or 0, output.decode(errors="replace"), error_line
