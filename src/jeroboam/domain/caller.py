"""The caller: the identity in a validated token."""

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessRule:
    """What an application credential with access rules may do (Keystone: *access rules*)."""

    service: str
    method: str
    path: str
    """`*` and `{name}` stand for one segment, `**` for any number of letters."""

    def permits(self, services: Collection[str], method: str, paths: Collection[str]) -> bool:
        """Whether the rule allows that request to a service of these types. A path may be written in several ways."""
        if self.service not in services or self.method != method:
            return False
        pattern = "".join(
            _LETTERS.get(part[:1] if part != "**" else part, re.escape(part)) for part in _split(self.path)
        )
        return any(re.fullmatch(pattern, path) for path in paths)


_LETTERS = {"**": ".*", "*": "[^/]+", "{": "[^/]+"}


def _split(path: str) -> list[str]:
    return re.findall(r"\{[^}]*\}|\*\*|\*|[^{}*]+|[{}]", path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """One authenticated caller, scoped to one project."""

    user_id: str
    project_id: str
    roles: frozenset[str]
    user_name: str = ""
    project_name: str = ""
    user_domain_id: str = ""
    project_domain_id: str = ""
    access_rules: tuple[AccessRule, ...] | None = None
    """The rules of an application credential that has any: it may do nothing else."""

    @property
    def is_admin(self) -> bool:
        """Whether the token carries the admin role (the contracts' `role:admin`)."""
        return "admin" in self.roles


NOBODY = Caller(user_id="", project_id="", roles=frozenset())
"""The caller of a request that needs no token."""
