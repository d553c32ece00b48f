"""Assembling a node image from this host: what goes in, what is missing, and when it counts as the same."""

import dataclasses
import io
import os
import shutil
import tarfile

import pytest

from jeroboam.domain.errors import Permanent
from jeroboam.nodeimages.host import resolve_recipe
from jeroboam.nodeimages.swarm import build_recipe
from jeroboam.nodeimages.tree import write_tar


@pytest.fixture
def small():
    """A recipe with little in it, so that a test takes no second."""
    return dataclasses.replace(build_recipe(), programs=("busybox", "ls"), optional_programs=(), folders=(), files=())


def packed(of, parts) -> dict[str, tarfile.TarInfo]:
    out = io.BytesIO()
    write_tar(parts.tree(of), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {info.name: info for info in tar}


def test_programs_come_with_their_libraries(small):
    found = packed(small, resolve_recipe(small))
    assert found["usr/sbin/ls"].mode & 0o111
    assert any(name.startswith("lib") and "libc.so" in name for name in found)
    assert found["bin/sh"].linkname == "/usr/sbin/busybox"
    assert "bin/ls" not in found
    assert found["var/run"].linkname == "/run"
    assert found["tmp"].mode == 0o1777
    assert found["usr/lib/jeroboam/entry"].mode == 0o755
    assert all(info.uid == info.gid == 0 for info in found.values())


def test_the_same_parts_give_the_same_octets(small):
    first, second = io.BytesIO(), io.BytesIO()
    write_tar(resolve_recipe(small).tree(small), first)
    write_tar(resolve_recipe(small).tree(small), second)
    assert first.getvalue() == second.getvalue()


def test_a_missing_program_is_named_with_what_brings_it(small):
    with pytest.raises(Permanent, match=r"no-such-engine.*apt-get install docker\.io"):
        resolve_recipe(dataclasses.replace(small, programs=("busybox", "no-such-engine")))


def test_the_digest_follows_programs_and_recipe(small, tmp_path, monkeypatch):
    program = tmp_path / "own-program"
    shutil.copy("/bin/true", program)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    own = dataclasses.replace(small, programs=("own-program",))
    first = resolve_recipe(own).digest(own)
    assert resolve_recipe(own).digest(own) == first
    os.utime(program, ns=(1, 1))
    changed = resolve_recipe(own).digest(own)
    assert changed != first
    other = dataclasses.replace(own, contents={})
    assert resolve_recipe(other).digest(other) != changed


def test_the_shipped_recipe_is_whole():
    shipped = build_recipe()
    assert shipped.name == "swarm-node"
    assert {"dockerd", "containerd", "runc", "busybox", "iptables"} <= set(shipped.programs)
    assert shipped.contents["usr/lib/jeroboam/entry"][0].startswith("#!/bin/sh")
