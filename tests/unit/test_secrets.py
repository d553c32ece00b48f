"""Sealing: what comes back, what does not, and which key files are refused."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.secrets.base import KeyFileError, Sealer
from jeroboam.secrets.keyfile import KeyFileSealer


@pytest.fixture(scope="module")
def sealer(tmp_path_factory) -> Sealer:
    return KeyFileSealer(tmp_path_factory.mktemp("keys") / "sub" / "key")


@given(plain=st.binary(max_size=300), context=st.text(max_size=40))
def test_what_is_sealed_opens_and_does_not_show(sealer, plain, context):
    sealed = sealer.seal(plain, context=context)
    assert sealer.open(sealed, context=context) == plain
    assert len(plain) < 4 or plain not in sealed
    assert sealer.seal(plain, context=context) != sealed


@given(data=st.data())
def test_any_changed_bit_is_noticed(sealer, data):
    sealed = bytearray(sealer.seal(b"a secret", context="c"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="sealed"):
        sealer.open(bytes(sealed), context="c")


def test_another_context_does_not_open(sealer):
    with pytest.raises(ValueError, match="belongs to something else"):
        sealer.open(sealer.seal(b"x", context="cluster a"), context="cluster b")


def test_a_short_text_is_refused(sealer):
    with pytest.raises(ValueError, match="not a sealed text"):
        sealer.open(b"\x01abc", context="c")


def test_the_file_is_made_for_this_user_only_and_kept(tmp_path):
    path = tmp_path / "key"
    sealed = KeyFileSealer(path).seal(b"x", context="c")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]
    assert KeyFileSealer(path).open(sealed, context="c") == b"x"


def test_a_rotated_file_opens_the_old_and_seals_with_the_new(tmp_path):
    path = tmp_path / "key"
    old = KeyFileSealer(path)
    sealed = old.seal(b"x", context="c")
    new_line = base64.b64encode(secrets.token_bytes(32)).decode()
    path.write_text(f"{new_line}\n{path.read_text()}")
    rotated = KeyFileSealer(path)
    assert rotated.open(sealed, context="c") == b"x"
    with pytest.raises(ValueError, match="not in the key file"):
        old.open(rotated.seal(b"y", context="c"), context="c")


@pytest.mark.parametrize("text", ["", "no base64 at all", base64.b64encode(b"short").decode()])
def test_a_file_without_keys_is_refused_and_not_shown(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold keys") as caught:
        KeyFileSealer(path)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    KeyFileSealer(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyFileSealer(path)


def test_a_folder_in_the_files_place_is_refused(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(KeyFileError, match="cannot be used"):
        KeyFileSealer(tmp_path)
