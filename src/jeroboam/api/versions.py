"""Microversions: the version that a request asks for, and the version headers of the answer."""

import re

from jeroboam.api.call import Family

_NUMBER = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)


class MalformedVersion(Exception):
    """The header is malformed."""


class UnsupportedVersion(Exception):
    """The header is well-formed, but its version is not supported. The text is that version."""


def negotiate(header: str | None, family: Family) -> int:
    """The minor version of the answer. Raises `MalformedVersion` or `UnsupportedVersion`."""
    if header is None or not header.strip():
        return 1
    # One header may name several services; ours counts.
    for part in header.split(","):
        words = part.split()
        if len(words) == 2 and words[0].lower() in family.service_types:  # noqa: PLR2004
            return _minor(words[1], family)
    raise MalformedVersion("Invalid service type for OpenStack-API-Version header")


def _minor(text: str, family: Family) -> int:
    if text.lower() == "latest":
        return family.newest
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise MalformedVersion(f"Invalid value for OpenStack-API-Version header: {text[:40]}")
    major, minor = int(number[1]), int(number[2])
    if major != 1 or not 1 <= minor <= family.newest:
        raise UnsupportedVersion(f"{major}.{minor}")
    return minor


def version_headers(family: Family, version: int | None) -> tuple[tuple[str, str], ...]:
    """The headers of every answer below `/v1`; without the used version where none was negotiated."""
    bounds = (
        ("OpenStack-API-Minimum-Version", f"{family.service_type} 1.1"),
        ("OpenStack-API-Maximum-Version", f"{family.service_type} 1.{family.newest}"),
        ("vary", "OpenStack-API-Version"),
    )
    return bounds if version is None else (*bounds, ("OpenStack-API-Version", f"{family.service_type} 1.{version}"))
