"""The state folder: private to its owner, also where it was there before."""

import os
import socket
import stat

import pytest

from jeroboam.bootstrap.state import StateFolder
from jeroboam.settings import load

pytestmark = pytest.mark.security


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", [None, "installation", "secrets.key"])
def test_a_folder_of_ours_that_others_can_read_is_closed(tmp_path, content):
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(0o755)
    if content is not None:
        (path / content).write_text("x")
    with StateFolder(path):
        assert mode_of(path) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(tmp_path, mode):
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(mode)
    (path / "letter").write_text("x")
    with pytest.raises(ValueError, match="is not the service's: it holds letter") as refused, StateFolder(path):
        pass
    assert "chmod" not in str(refused.value)
    assert (mode_of(path), list(path.iterdir())) == (mode, [path / "letter"])


def test_the_remains_of_a_start_that_was_killed_are_no_files_of_others(tmp_path):
    path = tmp_path / "state"
    (path / "keystone").mkdir(parents=True)
    for name in ("lock", "jeroboam.log", "passwords.json"):
        (path / name).touch()
    with StateFolder(path) as folder:
        folder.installation()
    assert folder.exists


@pytest.mark.parametrize("is_there", [False, True])
def test_a_start_that_fails_before_there_is_an_installation_leaves_nothing(tmp_path, is_there):
    path = tmp_path / "state"
    if is_there:
        path.mkdir()
    with pytest.raises(ValueError, match="a fault"), StateFolder(path) as folder:
        (path / "keystone").mkdir()
        (path / "keystone" / "keystone.db").touch()
        (path / "jeroboam.log").touch()
        folder.passwords()
        raise ValueError("a fault")
    assert path.exists() == is_there
    assert not is_there or not list(path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_an_open_folder_of_another_user_is_refused(tmp_path):
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, 65534, 65534)
    with pytest.raises(ValueError, match="belongs to another user"), StateFolder(path):
        pass
    assert mode_of(path) == 0o755


@pytest.mark.parametrize(("option", "flag"), [("api", "listen"), ("keystone", "keystone-listen")])
def test_a_start_on_a_port_that_is_taken_leaves_nothing(tmp_path, option, flag):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        addresses = {"api__listen": "127.0.0.1:0", "keystone__listen": "127.0.0.1:0"}
        settings = load(None, state=str(tmp_path / "other"), **addresses | {f"{option}__listen": f"127.0.0.1:{port}"})
        with (
            pytest.raises(
                ValueError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; .* --{flag} "
            ),
            StateFolder(settings.state) as folder,
        ):
            folder.keystone(settings)
    assert list(tmp_path.iterdir()) == []


def test_one_address_for_both_is_refused_before_anything_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    settings = load(None, state=str(tmp_path / "other"), api__listen=address, keystone__listen=address)
    with (
        pytest.raises(ValueError, match=f"the embedded Keystone cannot listen on {address}"),
        StateFolder(settings.state) as folder,
    ):
        folder.keystone(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_an_installation_stays(tmp_path):
    path = tmp_path / "state"
    with StateFolder(path) as folder:
        name = folder.installation()
    with StateFolder(path) as folder:
        assert folder.installation() == name


def test_an_empty_folder_of_the_user_stays(tmp_path):
    with StateFolder(tmp_path):
        pass
    assert tmp_path.is_dir()
