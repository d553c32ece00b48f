"""Brings images into a Docker Engine: from a registry, and from a stream, for which the library has no public call.

Neighbours: `docker`; the runtime and the COE whose containers need images; node images, which are imported.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any

import aiodocker
import aiohttp
import structlog

from jeroboam.clients.addresses import AddressRules, look_up
from jeroboam.clients.docker import CONNECTION_LOST, ask_registry, translate_errors
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.images import DOCKER_HUB, is_reference, parse_reference
from jeroboam.domain.nodes import IMAGE_REPOSITORY
from jeroboam.domain.registries import RegistryLogin

# The refusals of registries, as opposed to no answer, in the Engine's text: its own phrases, and the codes of the
# distribution API. Users see only our sentence: any server may answer under the name of a registry, so its text goes
# to the operator's log. Whole phrases count, after all names are removed.
_STATUS = r"\b(?:http|status(?: code)?:?) "
_MANY = rf"\btoomanyrequests\b|\btoo many requests\b|{_STATUS}429\b"
_PRIVATE = (
    r"\baccess denied\b|\bis denied\b|\bdenied: |\bunauthorized\b|\bauthentication required\b"
    rf"|\bauthorization failed\b|\bno basic auth credentials\b|\b403 forbidden\b|{_STATUS}40[13]\b"
)
_NONE = (
    r"\bmanifest unknown\b|\bname unknown\b|\bmanifest for \S* ?not found\b|\brepository \S* ?not found\b"
    rf"|: not found\b|\b404 not found\b|{_STATUS}404\b"
)
_UNTRUSTED = (
    r"\bx509: |\bserver gave http response to https client\b|\bfirst record does not look like a tls handshake\b"
)
_NO_CERTIFICATE = (
    "its registry has no certificate that this host trusts (an operator puts the registry's authority into "
    "/etc/docker/certs.d/REGISTRY/ca.crt of the host)"
)
_REFUSALS = (
    (re.compile(_MANY), "its registry refuses for now: too many requests"),
    (re.compile(_PRIVATE), "its registry has no such image, or keeps it private"),
    (re.compile(_NONE), "its registry has no such image"),
    (re.compile(r"\bno matching manifest\b"), "its registry has it for other platforms only"),
    (re.compile(r"\binvalid reference\b"), "its name is not valid"),
    (re.compile(_UNTRUSTED), _NO_CERTIFICATE),
)
# The text of the server that answered follows; that server may be no registry.
_FOREIGN = "response body:"
# Other names in the Engine's text than the image's: URLs, and hosts that are looked up.
_PLACES = re.compile(r"https?://[^\s\"]+|\blookup \S+|\bdial \w+ \S+|\breference \"[^\"]*\"|\bsha256:[0-9a-f]+")
_NAME = r"(?<![\w.:/@-]){}(?![\w/@-])"
_LOGGED = 500
# The time from the request to the registry's first answer; then the Engine's own limits hold.
CONTACT_SECONDS = 10.0

log = structlog.get_logger("jeroboam.clients.docker")


# Unpacking some hundred MB on a slow disk.
IMPORT_SECONDS = 300.0
_SHOWN = 80
_MIB = 1 << 20


async def import_image(
    docker: aiodocker.Docker, tar: AsyncIterable[bytes], *, repository: str, tag: str, changes: Sequence[str]
) -> str:
    """Import the tar stream as an image with one layer and return its id. `changes` are Dockerfile instructions."""
    params = [("fromSrc", "-"), ("repo", repository), ("tag", tag), *(("changes", change) for change in changes)]
    version = await docker.version()
    url = f"{docker.docker_host}/v{version['ApiVersion']}/images/create"
    timeout = aiohttp.ClientTimeout(total=IMPORT_SECONDS)
    headers = {"Content-Type": "application/x-tar"}
    async with docker.session.post(url, params=params, data=tar, headers=headers, timeout=timeout) as answer:
        message = await answer.text()
    # The Engine streams JSON objects after a 200, the last of which may be an error.
    if answer.status >= HTTPStatus.BAD_REQUEST or '"errorDetail"' in message:
        raise aiodocker.DockerError(max(answer.status, 500), message.strip())
    image_id: str = (await docker.images.inspect(f"{repository}:{tag}"))["Id"]
    return image_id


async def copy_file(docker: aiodocker.Docker, image: str, path: str, into: IO[bytes]) -> None:
    """Write a file of that image into a file, as a tar stream. Raises `aiodocker.DockerError` as the Engine does."""
    container = await docker.containers.create({"Image": image, "Cmd": ["none"]})
    try:
        url = f"{docker.docker_host}/containers/{container.id}/archive"
        async with docker.session.get(url, params={"path": f"/{path}"}) as answer:
            if not answer.ok:
                raise aiodocker.DockerError(answer.status, await answer.text())
            async for block in answer.content.iter_chunked(1 << 20):
                into.write(block)
    finally:
        await container.delete(force=True)


async def export_images(docker: aiodocker.Docker, images: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield these images in one archive, as `docker save` writes it. A shared layer is in the archive once."""
    for image in images:
        check_image(image)
    url = f"{docker.docker_host}/images/get"
    async with docker.session.get(url, params=[("names", image) for image in images]) as answer:
        if not answer.ok:
            raise aiodocker.DockerError(answer.status, await answer.text())
        async for block in answer.content.iter_chunked(1 << 20):
            yield block


async def load_images(docker: aiodocker.Docker, archive: IO[bytes]) -> None:
    """Load the images of an archive, as `docker load` does. Raises `aiodocker.DockerError` as the Engine does."""
    url = f"{docker.docker_host}/images/load"
    timeout = aiohttp.ClientTimeout(total=IMPORT_SECONDS)
    headers = {"Content-Type": "application/x-tar"}
    async with docker.session.post(
        url, params={"quiet": "1"}, data=archive, headers=headers, timeout=timeout
    ) as answer:
        message = await answer.text()
    # The Engine streams JSON objects after a 200, the last of which may be an error.
    if answer.status >= HTTPStatus.BAD_REQUEST or '"errorDetail"' in message:
        raise aiodocker.DockerError(max(answer.status, 500), message.strip())


class RegistryUnreachable(Temporary):
    """No registry answers for the image."""


def check_image(image: str) -> None:
    """Raise `Permanent` for an invalid image name, before the name becomes part of a path."""
    if not is_reference(image):
        raise Permanent(f"{image[:_SHOWN]!r} is not the name of an image")


async def check_pull(image: str, rules: AddressRules) -> None:
    """Raise `Permanent` for an image that users may not pull.

    Users may not pull images under the name of our node images, or from a registry that only this machine may reach.
    Raises `RegistryUnreachable` if the registry's host is unknown, as behind a proxy that alone resolves names.

    The Engine looks the name up again and follows redirects and realms. So this keeps users from naming an address, but
    no registry from sending the Engine to one (SECURITY.md says what an operator does about it).
    """
    check_image(image)
    reference = parse_reference(image)
    if reference is None:
        raise Permanent(f"image {image} is named by its id, and no registry has images by id")
    if reference.is_ours:
        raise Permanent(
            f"image {image} cannot be pulled: names that begin with {IMAGE_REPOSITORY} are the service's own"
        )
    if reference.registry == DOCKER_HUB:
        return
    try:
        addresses = await look_up(reference.host, reference.port)
    except TimeoutError as error:
        raise RegistryUnreachable(
            f"pulling image {image}: no name server answers for the host {reference.host}"
        ) from error
    except (OSError, UnicodeError) as error:
        raise RegistryUnreachable(
            f"pulling image {image}: the host name {reference.host} cannot be resolved"
        ) from error
    if not all(rules.permits(address) for address in addresses):
        raise Permanent(
            f"image {image} cannot be pulled: {reference.host} leads into a network that images are not pulled from "
            "([containers] registry_networks)"
        )


async def has_image(docker: aiodocker.Docker, image: str) -> bool:
    """Whether the Engine has the image."""
    with translate_errors(f"looking for image {image}"):
        try:
            await docker.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
    return True


async def read_image(docker: aiodocker.Docker, image: str) -> LocalImage | None:
    """Return the Engine's image of that name or id; None if it has none."""
    with translate_errors(f"looking for image {image}"):
        try:
            details = await docker.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
    return _read_local(details)


def _read_local(details: Mapping[str, Any]) -> LocalImage:
    names = [*(details.get("RepoTags") or ()), *(details.get("RepoDigests") or ())]
    # The Engine has `<none>` for what an image has not.
    return LocalImage(
        image_id=details["Id"], names=tuple(name for name in names if "<none>" not in name), size=details["Size"]
    )


async def list_images(docker: aiodocker.Docker) -> list[LocalImage]:
    """Return all images of the Engine. Raises `aiodocker.DockerError` as the Engine does."""
    return [_read_local(details) for details in await docker.images.list(digests="1")]


async def remove_image(docker: aiodocker.Docker, image: str) -> None:
    """Remove that name of an image, and the image with its last name. Raises `Permanent` if a container uses it."""
    with translate_errors(f"removing image {image}"):
        try:
            await docker.images.delete(image)
        except aiodocker.DockerError as error:
            if error.status == HTTPStatus.CONFLICT:
                raise Permanent(f"removing image {image}: a container uses it") from error
            if error.status != HTTPStatus.NOT_FOUND:
                raise


def _auth_of(login: RegistryLogin, registry: str) -> dict[str, str]:
    """Return the login as the Engine takes it."""
    return {
        "username": login.registry_username or "",
        "password": login.registry_password or "",
        "serveraddress": registry,
    }


def _redact(message: str, login: RegistryLogin | None) -> str:
    """Return the Engine's text without the login: the answer of a registry may repeat what it was sent."""
    if login is None or not login.registry_password:
        return message
    pair = f"{login.registry_username or ''}:{login.registry_password}".encode()
    for secret in (login.registry_password, base64.b64encode(pair).decode(), base64.urlsafe_b64encode(pair).decode()):
        message = message.replace(secret, "***")
    return message


async def check_access(docker: aiodocker.Docker, image: str, *, login: RegistryLogin | None) -> None:
    """Have the Engine ask the registry for the image's manifest, with that login. Raises as `pull_image` does."""
    action = f"looking up image {image}"
    headers = {}
    if login is not None:
        auth = json.dumps(_auth_of(login, image.partition("/")[0]))
        headers["X-Registry-Auth"] = base64.urlsafe_b64encode(auth.encode()).decode()
    with translate_errors(action):
        try:
            async with asyncio.timeout(CONTACT_SECONDS):
                message = await ask_registry(docker, image, headers=headers)
        except TimeoutError as error:
            raise RegistryUnreachable(f"{action}: its registry does not answer") from error
    if message is not None:
        log.warning("image not looked up", image=image, error=_redact(message, login)[:_LOGGED])
        raise explain_failure(image, message)


async def pull_image(
    docker: aiodocker.Docker,
    image: str,
    *,
    login: RegistryLogin | None = None,
    report: Callable[[str], None] | None = None,
) -> None:
    """Have the Engine pull the image, and report how far it is. The login goes with the request and stays nowhere.

    Raises `Permanent` if a registry refuses, `RegistryUnreachable` if none answers within `CONTACT_SECONDS` of the
    request.
    """
    action = f"pulling image {image}"
    with translate_errors(action):
        try:
            auth = None if login is None else _auth_of(login, image.partition("/")[0])
            progress = docker.images.pull(image, stream=True, auth=auth)
            layers: dict[str, tuple[int, int]] = {}
            async with asyncio.timeout(CONTACT_SECONDS):
                # The Engine says nothing before the registry has answered.
                await anext(progress, None)
            async for line in progress:
                if report is not None and (text := _read_progress(line, layers)) is not None:
                    report(text)
        except TimeoutError as error:
            raise RegistryUnreachable(f"{action}: its registry does not answer") from error
        except aiodocker.DockerError as error:
            if error.status == CONNECTION_LOST:
                raise
            log.warning("image not pulled", image=image, error=_redact(error.message, login)[:_LOGGED])
            raise explain_failure(image, error.message) from error


def _read_progress(line: Mapping[str, Any], layers: dict[str, tuple[int, int]]) -> str | None:
    """Return how far the pull is after that line of the Engine; None if the line says nothing about it.

    `layers` has the bytes of each layer so far, and all of them.
    """
    detail = line.get("progressDetail") or {}
    if line.get("status") != "Downloading" or not isinstance(detail.get("total"), int):
        return None
    layers[str(line.get("id"))] = int(detail.get("current") or 0), detail["total"]
    current, total = (sum(sizes) / _MIB for sizes in zip(*layers.values(), strict=True))
    return f"{current:.0f} of {total:.0f} MiB are here"


def explain_failure(image: str, message: str) -> DriverError:
    """Return the error for the Engine's text on a pull: `Permanent` for a refusal, otherwise `RegistryUnreachable`."""
    action = f"pulling image {image}"
    plain = _PLACES.sub("", message.lower().partition(_FOREIGN)[0])
    for name in _list_names(image.lower()):
        plain = re.sub(_NAME.format(re.escape(name)), "", plain)
    for phrase, sentence in _REFUSALS:
        if phrase.search(plain):
            return Permanent(f"{action}: {sentence}")
    reason = "its registry cannot be reached, or its answer is not that of a registry"
    return RegistryUnreachable(f"{action}: {reason}; an image that the host has already needs none (docker load)")


def _list_names(image: str) -> list[str]:
    """Return the names of the image and its registry in the Engine's text, the longest first.

    A single word is left out: it may be one of the Engine's own words.
    """
    reference = parse_reference(image)
    if reference is None:
        return [image]
    full_name = f"{reference.registry}/{reference.repository}"
    names = {image, image.partition("@")[0], full_name, reference.repository, reference.registry, reference.host}
    return sorted((name for name in names if set(name) & set("./:")), key=len, reverse=True)
