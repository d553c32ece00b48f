"""The rules of security groups, in the language of iptables-restore. Pure.

All packets that are forwarded come to one chain of this installation. An answer in a connection that was allowed
passes. Then the chain of the port that a packet comes from has a say, and then the chain of the port that it goes to:
each returns what it allows and drops the rest. So removing a rule ends connections too: only answers pass by
themselves. Ports are known by their bridge and address, which a container cannot change. Networks whose ports let each
other through anyway have no rules at all (`host_ports.needs_filter`). Neighbour: `driver`, which sets them.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from jeroboam.domain.host_ports import FilterRule, HostPort, group_by_network, needs_filter
from jeroboam.domain.networks import Direction

_DIGITS = 8
_PORT_DIGITS = 12
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "6", "17", "132"})
_ICMP = frozenset({"icmp", "1"})


def name_chain(installation: str) -> str:
    """Return the name of the installation's chain, with which the names of all its chains begin."""
    return f"JRB-{hashlib.sha256(installation.encode()).hexdigest()[:_DIGITS]}"


def build_rules(
    chain: str, ports: Iterable[HostPort], name_bridge: Callable[[str], str], old_chains: Iterable[str] = ()
) -> str:
    """Return what iptables-restore has to read, so that these ports are filtered and nothing else is.

    `name_bridge` returns the bridge of a network; `old_chains` are the chains of former ports, which are removed.
    """
    chains, dispatch, rules = [], [], []
    for network_id, members in group_by_network(ports).items():
        if not needs_filter(members):
            continue
        bridge = name_bridge(network_id)
        for port in members:
            for direction, flags in ((Direction.EGRESS, f"-i {bridge} -s"), (Direction.INGRESS, f"-o {bridge} -d")):
                port_chain = f"{chain}-{direction[0]}{port.uuid.replace('-', '')[:_PORT_DIGITS]}"
                chains.append(port_chain)
                dispatch.append((direction, f"-A {chain} {flags} {port.address}/32 -j {port_chain}"))
                rules += [
                    f"-A {port_chain} {match}-j RETURN"
                    for rule in port.rules
                    if rule.direction is direction
                    for match in _list_matches(rule, members)
                ]
                rules.append(f"-A {port_chain} -j DROP")
    head = [
        f"-A {chain} -m conntrack --ctstate RELATED -j RETURN",
        f"-A {chain} -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN",
    ]
    stale_chains = sorted(set(old_chains) - set(chains) - {chain})
    # Packets meet the chain of the port that they come from first.
    ordered = [line for _, line in sorted(dispatch, key=lambda entry: entry[0] is Direction.INGRESS)]
    lines = [
        "*filter",
        *(f":{name} - [0:0]" for name in (chain, *chains, *stale_chains)),
        *(head if dispatch else ()),
        *ordered,
        *rules,
        *(f"-X {name}" for name in stale_chains),
        "COMMIT",
    ]
    return "\n".join(lines) + "\n"


def _list_matches(rule: FilterRule, members: Sequence[HostPort]) -> list[str]:
    """Return the conditions of one rule, each with a space at its end: one for every member of a remote group."""
    side = "-s" if rule.direction is Direction.INGRESS else "-d"
    remotes = [f"{side} {rule.remote_prefix} " if rule.remote_prefix else ""]
    if rule.remote_group:
        remotes = [f"{side} {port.address}/32 " for port in members if rule.remote_group in port.security_groups]
    what = f"-p {rule.protocol} " if rule.protocol else ""
    if rule.port_min is not None and rule.protocol in _WITH_PORTS:
        what += f"--dport {rule.port_min}:{rule.port_min if rule.port_max is None else rule.port_max} "
    elif rule.port_min is not None and rule.protocol in _ICMP:
        code = "" if rule.port_max is None else f"/{rule.port_max}"
        what += f"--icmp-type {rule.port_min}{code} "
    return [remote + what for remote in remotes]
