"""Secrets inside JSON columns: sealed when they are written to the database, opened when they are read.

The URL of a proxy may hold a password. It lies in templates, in each cluster's copy of its template, and in any other
field of that name. So do the logins of registries and the secrets of capsules. The text of the column is changed and
not the object, so no place is forgotten. Neighbour: `store`, whose engines write and read JSON through this.
"""

import base64
import re
from typing import Any

from jeroboam.domain.ports import Sealer
from jeroboam.store.rows import encode_json
from jeroboam.store.tables import UnreadableValue

_KEY = r'"(https?_proxy|registry_(?:username|password)|secret_environment)":'
_PLAIN = re.compile(_KEY + r'"((?:[^"\\]|\\.)+)"')
_SEALED = re.compile(_KEY + r'"sealed:([A-Za-z0-9_=-]+)"')
# The ends of these keys with the begin of a value. Most columns have none, and finding that out is cheap.
_PLAIN_MARKS = ('_proxy":"', 'y_username":"', 'y_password":"', 't_environment":"')
_SEALED_MARKS = tuple(f"{mark}sealed:" for mark in _PLAIN_MARKS)


def _context_of(key: str) -> str:
    if key == "secret_environment":
        return "store/secret"
    return "store/proxy" if key.endswith("_proxy") else "store/registry"


class SealedJson:
    """Writes and reads JSON columns. Without a sealer nothing is sealed, and sealed values stay sealed."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def encode(self, value: Any) -> str:
        """Return the text of the column."""
        text = encode_json(value)
        if self._sealer is None or not any(mark in text for mark in _PLAIN_MARKS):
            return text
        return _PLAIN.sub(self._seal, text)

    def decode(self, text: str | bytes) -> str | bytes | UnreadableValue:
        """Return the text with its secrets, which `Rows` decodes; `UnreadableValue` if no key opens one.

        It runs while a result is fetched: an exception here would also lose the other rows.
        """
        if self._sealer is None or not isinstance(text, str):
            return text
        if not any(mark in text for mark in _SEALED_MARKS):
            return text
        try:
            return _SEALED.sub(self._open, text)
        except ValueError as error:
            return UnreadableValue(f"a secret cannot be opened: {error}")

    def _seal(self, match: re.Match[str]) -> str:
        assert self._sealer is not None
        sealed_octets = self._sealer.seal(match[2].encode(), context=_context_of(match[1]))
        return f'"{match[1]}":"sealed:{base64.urlsafe_b64encode(sealed_octets).decode()}"'

    def _open(self, match: re.Match[str]) -> str:
        assert self._sealer is not None
        plain = self._sealer.open(base64.urlsafe_b64decode(match[2]), context=_context_of(match[1]))
        return f'"{match[1]}":"{plain.decode()}"'
