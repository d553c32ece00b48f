"""The error codes that this family publishes, each an exception of its own."""

from jeroboam.domain.errors import Conflict, Invalid, NotFound


class SchemaError(Invalid):
    """A body that its schema refuses."""

    code = "schema-validation-error"


class NeedsNewerVersion(Invalid):
    """A parameter that came with a later version than the one asked for."""

    code = "invalid-param-in-version"

    def __init__(self, name: str, version: int, since: int) -> None:
        text = f"Invalid param {name} because current request version is 1.{version}. "
        super().__init__(f"{text}{name} is only supported from version 1.{since}", field=name)


class ContainerNotFound(NotFound):
    code = "container-not-found"


class HostNotFound(NotFound):
    code = "compute-node-not-found"


class RequestedHostNotFound(NotFound):
    code = "requested-host-not-found"


class RegistryNotFound(NotFound):
    code = "registry-not-found"


class ServiceNotFound(NotFound):
    code = "zun-service-not-found"


class ContainerNotPlaced(Conflict):
    """A live question to a container that is on no host."""

    code = "conflict"
