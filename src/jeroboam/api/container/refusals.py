"""The error codes that this family publishes, each with its exception."""

from jeroboam.domain.errors import Conflict, Forbidden, Invalid, NotFound


class SchemaError(Invalid):
    """The body breaks its schema."""

    code = "schema-validation-error"


class NeedsNewerVersion(Invalid):
    """The parameter needs a later version than the requested one."""

    code = "invalid-param-in-version"

    def __init__(self, name: str, version: int, since: int) -> None:
        text = f"Invalid param {name} because current request version is 1.{version}. "
        super().__init__(f"{text}{name} is only supported from version 1.{since}", field=name)


class ContainerNotFound(NotFound):
    code = "container-not-found"


class CapsuleNotFound(NotFound):
    code = "capsule-not-found"


class HostNotFound(NotFound):
    code = "compute-node-not-found"


class RequestedHostNotFound(NotFound):
    code = "requested-host-not-found"


class RegistryNotFound(NotFound):
    code = "registry-not-found"


class ImageNotFound(NotFound):
    """No image on a host has that uuid. (The code of an image that a registry has not is the same, with a 400.)"""

    code = "image-not-found"


class PortInUse(Invalid):
    """Another container has the port."""

    code = "port-in-use"


class VolumeNotFound(NotFound):
    code = "volume-not-found"


class ServiceNotFound(NotFound):
    code = "zun-service-not-found"


class ActionNotFound(NotFound):
    """There is no such record of what was asked of a container."""

    code = "resource-not-found"


class NoInteractiveFlag(Invalid):
    """The container takes no input."""

    code = "no-interactive-flag"


class SessionRefused(Forbidden):
    """The URL of a WebSocket stands for no session, or not for this one."""

    code = "invalid-websocket-token"


class ContainerNotPlaced(Conflict):
    """A live question to a container that has no host."""

    code = "conflict"
