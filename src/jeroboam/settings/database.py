"""The database's URL: which are supported, and how messages show one. SQLAlchemy itself is the store's alone.

Neighbour: the package itself.
"""

import re

OPTION = "[database] connection"
_SUPPORTED = "postgresql+asyncpg://USER:PASSWORD@HOST:PORT/NAME or sqlite+aiosqlite:////PATH"
_KIND = re.compile(r"([A-Za-z0-9_+.\-]+)://")
_SQLITE = re.compile(r"sqlite\+aiosqlite:///(?!:memory:)[^?]+(\?.*)?", re.DOTALL)
# As SQLAlchemy reads a URL: whatever stands before the first @ is user and password.
_POSTGRESQL = re.compile(
    r"postgresql\+asyncpg://([^:/@]*(:[^@]*)?@)?(\[[0-9A-Fa-f:.%]+\]|[^/:?@\[\]]*)(:[0-9]{1,5})?/[^?/]+(\?.*)?",
    re.DOTALL,
)
_KINDS = {"sqlite+aiosqlite": _SQLITE, "postgresql+asyncpg": _POSTGRESQL}
_SECRET_PART = re.compile(r"(://[^:/@?]*:).*@", re.DOTALL)
_SECRET_QUERY = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def mask_passwords(url: str) -> str:
    """Return the URL with `***` for a password, before the host or in the query."""
    return _SECRET_QUERY.sub(r"\1***", _SECRET_PART.sub(r"\1***@", url))


def name_database(url: str) -> str:
    """Return how messages name the database: the file of an SQLite, else the URL without its password."""
    return url.partition("///")[2].partition("?")[0] if url.startswith("sqlite") else mask_passwords(url)


def check_database_url(url: str) -> None:
    """Raise `ValueError` with one line for a URL that is malformed or of a kind that is not supported.

    The line has nothing of what may be a password.
    """
    kind = _KIND.match(url)
    if kind is None:
        raise ValueError(f"{OPTION}: this is no URL of a database; write {_SUPPORTED}")
    if kind[1] not in _KINDS:
        raise ValueError(f"{OPTION}: {kind[1]} is not supported; write {_SUPPORTED}")
    if not _KINDS[kind[1]].fullmatch(url):
        raise ValueError(
            f"{OPTION}: {mask_passwords(url)} is malformed; write {_SUPPORTED}, a @ in the password as %40"
        )
    if kind[1] == "postgresql+asyncpg" and re.search(r"[?&]sslmode=", url):
        raise ValueError(f"{OPTION}: write ssl=MODE instead of sslmode=MODE, which this driver does not know")
