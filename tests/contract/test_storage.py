"""The conformance suite of storage: every driver passes it. It runs as root, as the agent does."""

import os
import subprocess

import pytest

from jeroboam.clients import filesystems
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.storage.fake import FakeStorage
from jeroboam.storage.local import LocalStorage

UUID = "6f1c0d52-5f0e-4d0c-8f4d-2a3c9f0e7b11"
OTHER = "0b9a7c11-3a55-4b8e-9b43-1f6f0f3f7c22"


@pytest.fixture
async def local(tmp_path):
    storage = LocalStorage(tmp_path / "volumes")
    yield storage
    await storage.release()


@pytest.fixture(params=["local", "fake"])
def storage(request):
    return FakeStorage() if request.param == "fake" else request.getfixturevalue("local")


async def test_a_volume_is_made_once_and_removed(storage):
    assert not storage.is_ready(UUID)
    folder = await storage.provide(UUID, size=1)
    assert storage.is_ready(UUID)
    assert await storage.provide(UUID, size=1) == folder
    await storage.provide(OTHER, size=1)
    assert await storage.list_owned() == sorted([UUID, OTHER])
    await storage.remove(UUID)
    await storage.remove(UUID)
    assert await storage.list_owned() == [OTHER]
    assert not storage.is_ready(UUID)


async def test_a_name_that_is_no_uuid_reaches_no_path(storage):
    for name in ("../escape", "/etc", "", f"{UUID}/.."):
        with pytest.raises(Permanent):
            await storage.provide(name, size=1)


async def test_data_outlives_a_restart_of_the_machine(local, tmp_path):
    folder = await local.provide(UUID, size=1)
    (folder / "kept").write_text("data")
    await local.release()
    assert not local.is_ready(UUID)
    assert not folder.exists()
    again = LocalStorage(tmp_path / "volumes")
    assert (await again.provide(UUID, size=1) / "kept").read_text() == "data"


async def test_a_volume_does_not_grow_beyond_its_size(local):
    folder = await local.provide(UUID, size=1)
    size = os.statvfs(folder)
    assert size.f_blocks * size.f_frsize <= 1 << 30
    with pytest.raises(OSError, match="No space left"), (folder / "big").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 << 30)


async def test_everybody_may_write_and_the_mode_stays(local):
    folder = await local.provide(UUID, size=1)
    assert folder.stat().st_mode & 0o777 == 0o777
    folder.chmod(0o750)
    assert (await local.provide(UUID, size=1)).stat().st_mode & 0o777 == 0o750


async def test_a_volume_in_use_is_not_removed(local):
    folder = await local.provide(UUID, size=1)
    with (folder / "open").open("w"):
        with pytest.raises(Temporary, match="busy"):
            await local.remove(UUID)
        assert (folder / "open").exists()
    await local.remove(UUID)
    assert await local.list_owned() == []


async def test_a_file_that_was_begun_is_made_anew_and_one_that_is_whole_is_not(local, tmp_path):
    unfinished = tmp_path / "volumes" / UUID / "image.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half a file system")
    folder = await local.provide(UUID, size=1)
    (folder / "kept").write_text("data")
    await local.release()
    image = unfinished.with_suffix("")
    with image.open("r+b") as file:
        # The superblock, without which it is no file system.
        file.seek(1024)
        file.write(bytes(1024))
    with pytest.raises(Temporary, match="mount"):
        await local.provide(UUID, size=1)
    assert subprocess.run(["grep", "-q", "data", image], check=False).returncode == 0


async def test_a_failure_makes_no_volume_without_a_limit(local, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mkfs.ext4").write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    (programs / "mkfs.ext4").chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{programs}:{path}")
    with pytest.raises(Temporary, match="no room"):
        await local.provide(UUID, size=1)
    assert not local.is_ready(UUID)
    monkeypatch.setenv("PATH", path)
    folder = await local.provide(UUID, size=1)
    assert filesystems.is_mounted(folder.parent)


async def test_a_machine_without_mounts_has_plain_folders(local, monkeypatch):
    monkeypatch.setattr(filesystems, "may_mount", lambda: False)
    folder = await local.provide(UUID, size=1)
    assert local.is_ready(UUID)
    assert not filesystems.is_mounted(folder.parent / "mounted")
    assert await local.provide(UUID, size=1) == folder
