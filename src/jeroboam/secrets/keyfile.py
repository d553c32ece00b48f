"""Seals secrets with AES-256-GCM under keys of a file.

The file has one key on each line in base64, newest first. The first key seals, and all keys open, so a key is rotated
by adding a new line at the top. A sealed text is `format | key id | nonce | ciphertext`.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jeroboam.secrets.base import KeyFileError

_FORMAT = b"\x01"
_KEY_OCTETS = 32
_ID_OCTETS = 8
_NONCE_OCTETS = 12
_HEAD_OCTETS = len(_FORMAT) + _ID_OCTETS + _NONCE_OCTETS


class KeyFileSealer:
    """Implements the port `Sealer` with a key file."""

    def __init__(self, path: Path) -> None:
        """Read the file, or make one that only this user can read. Raises `KeyFileError`."""
        keys = _load(path)
        self._newest = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}

    def seal(self, plain: bytes, *, context: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        head = _FORMAT + self._newest + nonce
        return head + self._ciphers[self._newest].encrypt(nonce, plain, _build_associated_data(head, context))

    def has_key_of(self, sealed_text: bytes) -> bool:
        """Whether the key of the sealed text is in the file."""
        return sealed_text[len(_FORMAT) : len(_FORMAT) + _ID_OCTETS] in self._ciphers

    def open(self, sealed_text: bytes, *, context: str) -> bytes:
        head, text = sealed_text[:_HEAD_OCTETS], sealed_text[_HEAD_OCTETS:]
        if len(head) < _HEAD_OCTETS or not head.startswith(_FORMAT):
            raise ValueError("not a sealed text")
        cipher = self._ciphers.get(head[len(_FORMAT) : len(_FORMAT) + _ID_OCTETS])
        if cipher is None:
            raise ValueError("sealed with a key that is not in the key file")
        try:
            return cipher.decrypt(head[-_NONCE_OCTETS:], text, _build_associated_data(head, context))
        except InvalidTag as error:
            raise ValueError("the sealed text was changed, or belongs to something else") from error


def _build_associated_data(head: bytes, context: str) -> bytes:
    """Return the data that is authenticated with the secret: its head and its context."""
    return head + context.encode()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"jeroboam key id" + key).digest()[:_ID_OCTETS]


def _load(path: Path) -> list[bytes]:
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyFileError(f"key file {path} may be read by others (mode {mode:04o}): chmod 600 it")
        lines = path.read_text(encoding="ascii", errors="replace").split()
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be used: {error.strerror}") from error
    keys = [_decode(line) for line in lines]
    if not keys or any(len(key) != _KEY_OCTETS for key in keys):
        raise KeyFileError(f"key file {path} does not hold keys of {_KEY_OCTETS} octets in base64, one a line")
    return keys


def _decode(line: str) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _make(path: Path) -> None:
    """Write a new file beside it and link it into place: a crash leaves no half, and of two starts one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_KEY_OCTETS)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
