"""When the machine counts as shielded: with programs of our own in the place of iptables."""

from pathlib import Path

import pytest

from jeroboam.clients.firewall import shield_host

pytestmark = pytest.mark.security

# Keeps its rules in a file, and refuses what matches a line of another. Arguments: -w 5 -C|-I CHAIN [1] RULE
PROGRAM = """#!/bin/sh
shift 2
verb=$1 chain=$2; shift 2
[ "$verb" = -I ] && shift
rule="${0##*/} $chain $*"
while read -r refused; do
    case "$rule" in "$refused"*) echo "iptables: No chain/target/match by that name." >&2; exit 1 ;; esac
done < "$FIREWALL/refused"
if [ "$verb" = -C ]; then exec /bin/grep -qxF -e "$rule" "$FIREWALL/rules"; fi
echo "$rule" >> "$FIREWALL/rules"
"""
JUMP = "iptables FORWARD -j DOCKER-USER"


@pytest.fixture
def firewall(tmp_path, monkeypatch) -> Path:
    for name in ("iptables", "ip6tables"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rules").write_text(f"{JUMP}\n")
    (tmp_path / "refused").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FIREWALL", str(tmp_path))
    return tmp_path


async def test_all_rules_are_set_once(firewall):
    assert await shield_host("jrb-") == ()
    rules = (firewall / "rules").read_text().splitlines()
    assert "iptables DOCKER-USER -i jrb-+ -d 169.254.0.0/16 -j DROP" in rules
    assert await shield_host("jrb-") == ()
    assert (firewall / "rules").read_text().splitlines() == rules


@pytest.mark.parametrize(
    "refused",
    [
        "iptables INPUT",
        "iptables DOCKER-USER",
        "ip6tables INPUT",
    ],
)
async def test_one_rule_that_cannot_be_set_is_one_that_is_missing(firewall, refused, tmp_path, monkeypatch):
    # As where the kernel has version 6, whatever this machine's has.
    (tmp_path / "disable_ipv6").write_text("0\n")
    monkeypatch.setattr("jeroboam.clients.firewall._IPV6", tmp_path / "disable_ipv6")
    (firewall / "refused").write_text(f"{refused}\n")
    [missing] = await shield_host("jrb-")
    program, chain = refused.split()
    assert missing == f"{program}: no rule in {chain} (iptables: No chain/target/match by that name.)"


async def test_a_chain_that_no_packet_comes_to_shields_nothing(firewall):
    (firewall / "rules").write_text("")
    [missing] = await shield_host("jrb-")
    assert "FORWARD does not lead to DOCKER-USER" in missing


async def test_without_the_program_every_rule_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    missing = await shield_host("jrb-")
    assert any("iptables: no rule in INPUT" in rule for rule in missing)
    assert any("iptables: no rule in DOCKER-USER" in rule for rule in missing)
