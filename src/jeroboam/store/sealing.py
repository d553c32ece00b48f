"""Secrets inside JSON columns: sealed when they are written to the database, opened when they are read.

The URL of a proxy may hold a password. It lies in templates, in each cluster's copy of its template, and in any other
field of that name. The text of the column is changed and not the object, so no place is forgotten. Neighbour: `store`,
whose engines write and read JSON through this.
"""

import base64
import re
from typing import Any

from jeroboam.domain.ports import Sealer
from jeroboam.store.rows import encode_json
from jeroboam.store.tables import UnreadableValue

_CONTEXT = "store/proxy"
_KEY = r'"(https?_proxy)":'
_PLAIN = re.compile(_KEY + r'"((?:[^"\\]|\\.)+)"')
_SEALED = re.compile(_KEY + r'"sealed:([A-Za-z0-9_=-]+)"')


class SealedJson:
    """Writes and reads JSON columns. Without a sealer nothing is sealed, and sealed values stay sealed."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def encode(self, value: Any) -> str:
        """Return the text of the column."""
        text = encode_json(value)
        if self._sealer is None or '_proxy":"' not in text:
            return text
        return _PLAIN.sub(self._seal, text)

    def decode(self, text: str | bytes) -> str | bytes | UnreadableValue:
        """Return the text with its secrets, which `Rows` decodes; `UnreadableValue` if no key opens one.

        It runs while a result is fetched: an exception here would also lose the other rows.
        """
        if self._sealer is None or not isinstance(text, str) or '_proxy":"sealed:' not in text:
            return text
        try:
            return _SEALED.sub(self._open, text)
        except ValueError as error:
            return UnreadableValue(f"a secret cannot be opened: {error}")

    def _seal(self, match: re.Match[str]) -> str:
        assert self._sealer is not None
        sealed_octets = self._sealer.seal(match[2].encode(), context=_CONTEXT)
        return f'"{match[1]}":"sealed:{base64.urlsafe_b64encode(sealed_octets).decode()}"'

    def _open(self, match: re.Match[str]) -> str:
        assert self._sealer is not None
        plain = self._sealer.open(base64.urlsafe_b64decode(match[2]), context=_CONTEXT)
        return f'"{match[1]}":"{plain.decode()}"'
