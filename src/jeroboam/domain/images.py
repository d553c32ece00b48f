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
    def name(self) -> str:
        """The repository with its registry, as the key of both."""
        return f"{self.registry}/{self.repository}"

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
    def is_of_docker(self) -> bool:
        """Whether Docker's own registry has it."""
        return self.registry == DOCKER_HUB

    @property
    def is_ours(self) -> bool:
        """Whether a pull of that name could replace an image of our own."""
        return self.registry == DOCKER_HUB and self.repository.startswith(IMAGE_REPOSITORY)


def split_host(text: str) -> tuple[str | None, str]:
    """Return the registry that the reference names, as it is written, and the rest; None if it names none."""
    first, slash, rest = text.partition("/")
    # Docker reads a first part without a dot or a port as a part of the path.
    if slash and (set(first) & set(".:[") or first == "localhost" or first != first.lower()):
        return first, rest
    return None, text


def split_tag(text: str) -> tuple[str, str | None]:
    """Return the repository as it is written, and its digest or else its tag; None if it has neither."""
    repository, at, digest = text.partition("@")
    if at:
        return repository.rpartition(":")[0] if ":" in repository.rpartition("/")[2] else repository, digest
    head, colon, tag = repository.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (repository, None)


def is_registry(text: str) -> bool:
    """Whether the text is `HOST` or `HOST:PORT`, which the name of an image may begin with."""
    return split_host(f"{text}/x")[0] == text and parse_reference(f"{text}/x") is not None


def normalise_registry(text: str) -> str:
    """Return that registry as `ImageReference.registry` has it: one name for all names of Docker's own."""
    reference = parse_reference(f"{text}/x")
    return text.lower() if reference is None else reference.registry


def qualify_image(image: str, domain: str | None) -> str:
    """Return the image's name in the registry of that domain, unless the name has a registry."""
    return image if domain is None or split_host(image)[0] is not None else f"{domain}/{image}"


def parse_reference(text: str) -> ImageReference | None:
    """Return the parsed reference, or None if the text is none."""
    match = _REFERENCE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    host, path = match["host"], match["path"]
    if host is not None and split_host(text)[0] is None:
        host, path = None, f"{host}/{path}"
    registry = (host or DOCKER_HUB).lower()
    reference = ImageReference(registry=DOCKER_HUB if registry in _HUB_NAMES else registry, repository=path)
    return reference if 0 < reference.port <= _LAST_PORT else None


def is_reference(text: str) -> bool:
    """Whether the text names an image: by a reference, or by an id as Docker shows it."""
    return parse_reference(text) is not None or _ID.fullmatch(text) is not None
