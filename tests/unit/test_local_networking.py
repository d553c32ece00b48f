"""The networking driver `local`, with programs of our own in the place of iptables."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.domain.errors import Temporary
from jeroboam.domain.host_ports import FilterRule
from jeroboam.domain.networks import Direction
from jeroboam.networking.local.driver import LocalNetworking
from tests.unit.test_networks import OUT, WEB, port

PROGRAMS = {
    "iptables-save": 'exec /bin/cat "$FIREWALL/set"',
    "iptables-restore": '/bin/cat > "$FIREWALL/new"; [ -e "$FIREWALL/broken" ] && exit 1; '
    '/bin/cat "$FIREWALL/new" > "$FIREWALL/set"; echo set >> "$FIREWALL/log"',
    "iptables": 'echo "$*" >> "$FIREWALL/commands"',
}


@pytest.fixture
def firewall(tmp_path, monkeypatch):
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    for name, text in (("set", ""), ("log", ""), ("commands", ""), ("bridges", "1\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("jeroboam.clients.firewall._BRIDGE_FILTER", tmp_path / "bridges")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FIREWALL", str(tmp_path))
    return tmp_path


CLOSED = port(3, OUT, groups=("web",))
OPEN = replace(CLOSED, rules=(OUT, WEB))


async def test_rules_are_set_when_they_change_only(firewall):
    driver = LocalNetworking(installation="i")
    await driver.set_ports([port(2), port(4)])
    assert (firewall / "log").read_text() == ""
    for _ in range(2):
        await driver.set_ports([CLOSED])
    assert (firewall / "log").read_text() == "set\n"
    await driver.set_ports([CLOSED], is_fresh=True)
    assert (firewall / "log").read_text() == "set\nset\n"
    await driver.set_ports([])
    assert "DROP" not in (firewall / "set").read_text()


async def test_the_last_wish_wins_also_while_another_is_being_carried_out(firewall):
    driver = LocalNetworking(installation="i")
    await driver.set_ports([CLOSED])
    await asyncio.gather(driver.set_ports([OPEN]), driver.set_ports([CLOSED]))
    assert "--dport" not in (firewall / "set").read_text()


async def test_what_was_broken_off_is_done_again(firewall):
    driver = LocalNetworking(installation="i")
    await driver.set_ports([CLOSED])
    work = asyncio.ensure_future(driver.set_ports([OPEN]))
    while not (firewall / "log").read_text().endswith("set\nset\n"):
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await driver.set_ports([CLOSED])
    assert "--dport" not in (firewall / "set").read_text()


async def test_what_does_not_hold_is_told(firewall):
    driver = LocalNetworking(installation="i")
    (firewall / "broken").touch()
    with pytest.raises(Temporary, match="the rules are not set"):
        await driver.set_ports([CLOSED])
    (firewall / "broken").unlink()
    (firewall / "bridges").unlink()
    with pytest.raises(Temporary, match="bridge-nf-call-iptables"):
        await driver.set_ports([CLOSED])
    (firewall / "bridges").write_text("0\n")
    await driver.set_ports([CLOSED])
    assert (firewall / "bridges").read_text() == "1\n"


async def test_chains_of_former_ports_are_removed(firewall):
    driver = LocalNetworking(installation="i")
    await driver.set_ports([CLOSED])
    chains = [line.split()[0][1:] for line in (firewall / "set").read_text().splitlines() if line.startswith(":")]
    other = port(5, FilterRule(direction=Direction.INGRESS), groups=("x",))
    await driver.set_ports([other])
    text = (firewall / "set").read_text()
    assert all(f"-X {chain}\n" in text for chain in chains[1:])
