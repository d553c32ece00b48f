"""`setup --undo`: what the set-up did to a machine is taken back, and Debian's packages are named."""

import re

from tests.install.machine import Machine
from tests.install.test_setup import SETUP

UNDO = f"bash {SETUP} --undo && ls /var/lib /var/log"


def test_what_was_set_up_is_undone_and_packages_are_named(tmp_path):
    done = Machine(tmp_path, has_systemd=False).run(SETUP, "--tests", then=UNDO)
    assert (done.status, done.err) == (0, "")
    lines = done.out.partition("the Docker Engine answers\n")[2].splitlines()
    assert re.fullmatch(
        r"set-up: stopped the Docker Engine \(process \d+\); what it has stored stays, in /var/lib/docker", lines[0]
    )
    assert lines[1] == "set-up: removed /var/log/jeroboam-dockerd.log"
    assert lines[2] == "set-up: kept packages of Debian that the set-up has installed; this removes them:"
    assert set(lines[3].split()) == {"apt-get", "purge", *done.installed}
    assert lines[4:] == ["/var/lib:", "", "/var/log:"], "nothing of the set-up is left"


def test_an_engine_with_containers_stays(tmp_path):
    machine = Machine(tmp_path, has_systemd=False, containers='[{"Id": "theirs"}]')
    done = machine.run(SETUP, then=f"{UNDO} && bash {SETUP}")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"set-up: kept the Docker Engine \(process \d+\): there are containers on it\n", done.out)
    assert "/var/lib:\njeroboam-setup\n" in done.out, "the Engine can still be undone"
    assert done.out.endswith("set-up: the Docker Engine answers\n")


def test_a_machine_where_nothing_was_set_up_is_left_alone(tmp_path):
    done = Machine(tmp_path, has_systemd=True).run(SETUP, "--undo")
    assert (done.status, done.out, done.calls) == (0, "set-up: nothing was done here\n", [])
