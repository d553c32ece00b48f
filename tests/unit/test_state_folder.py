"""The state folder: private to its owner, also where it was there before."""

import os
import stat

import pytest

from jeroboam.bootstrap.state import StateFolder

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


def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(0o755)
    (path / "letter").write_text("x")
    with pytest.raises(ValueError, match="open to other users and holds files"), StateFolder(path):
        pass
    assert (mode_of(path), list(path.iterdir())) == (0o755, [path / "letter"])
    path.chmod(0o700)
    with StateFolder(path):
        assert mode_of(path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_an_open_folder_of_another_user_is_refused(tmp_path):
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, 65534, 65534)
    with pytest.raises(ValueError, match="belongs to another user"), StateFolder(path):
        pass
    assert mode_of(path) == 0o755
