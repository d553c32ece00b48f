"""Keystone's process never outlives the service that started it, not even one that is killed as it starts it."""

import os
import subprocess
import sys


def test_one_whose_parent_has_gone_already_does_not_begin(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-m", "jeroboam.identity.keystone_child", str(tmp_path / "keystone.conf"), "0"]
    ended = subprocess.run(
        [*command, "http://127.0.0.1:1/v3", "first", str(gone.pid)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "OS_BOOTSTRAP_PASSWORD": "unused"},
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == "keystone: the process that started this one is gone\n"
    assert not list(tmp_path.iterdir())
