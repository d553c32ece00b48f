"""Who asks: the identity that a validated token carries."""

from dataclasses import dataclass


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

    @property
    def is_admin(self) -> bool:
        """Whether the token carries the admin role (the contracts' `role:admin`)."""
        return "admin" in self.roles
