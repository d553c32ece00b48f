"""References to container images, as Docker reads them: registry, repository, tag and digest."""

import re
from dataclasses import dataclass

from jeroboam.domain.nodes import IMAGE_REPOSITORY

DOCKER_HUB = "docker.io"
# The names of Docker's own registry.
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_LONGEST = 512
_HTTPS = 443
_LAST_PORT = 65535

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReference:
    """A parsed image name. `registry` is `HOST` or `HOST:PORT`."""

    registry: str
    repository: str

    @property
    def host(self) -> str:
        """The registry's host: a name, or an address without its brackets."""
        host, _, port = self.registry.rpartition(":")
        return (host if host and port.isdigit() else self.registry).strip("[]")

    @property
    def port(self) -> int:
        """The registry's port, or that of HTTPS."""
        host, _, port = self.registry.rpartition(":")
        return int(port) if host and port.isdigit() else _HTTPS

    @property
    def is_ours(self) -> bool:
        """Whether a pull of that name could replace an image of our own."""
        return self.registry == DOCKER_HUB and self.repository.startswith(IMAGE_REPOSITORY)


def parse_reference(text: str) -> ImageReference | None:
    """Return the parsed reference, or None if the text is none."""
    match = _REFERENCE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    host, path = match["host"], match["path"]
    if host is not None and not (set(host) & set(".:[") or host == "localhost" or host != host.lower()):
        # Docker reads a first part without a dot or a port as a part of the path.
        host, path = None, f"{host}/{path}"
    registry = (host or DOCKER_HUB).lower()
    reference = ImageReference(registry=DOCKER_HUB if registry in _HUB_NAMES else registry, repository=path)
    return reference if 0 < reference.port <= _LAST_PORT else None


def is_reference(text: str) -> bool:
    """Whether the text names an image: by a reference, or by an id as Docker shows it."""
    return parse_reference(text) is not None or _ID.fullmatch(text) is not None
