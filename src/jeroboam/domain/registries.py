"""Registries of images that a project has a login for (contract: container, section 5, registries)."""

import datetime as dt
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryLogin:
    """What a registry asks for. The store seals both fields by their names; no text of this object shows them."""

    registry_username: str | None = field(default=None, repr=False)
    registry_password: str | None = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether the registry is asked without a login."""
        return not self.registry_username and not self.registry_password


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """A registry as a project knows it."""

    uuid: str
    name: str | None
    project_id: str
    user_id: str
    domain: str
    """Its host, with a port where that is not 443; the first part of the names of its images."""
    login: RegistryLogin = RegistryLogin()
    created_at: dt.datetime
    updated_at: dt.datetime | None = None
