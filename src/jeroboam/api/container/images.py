"""Images on hosts (contract: container, section 5, images): what administrators pull and remove there.

A row is the wish; the agent of its host carries it out and reports. Images that containers bring are not listed.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container.field_checks import IMAGE, IMAGE_DRIVER
from jeroboam.api.container.refusals import HostNotFound, ImageNotFound, SchemaError
from jeroboam.api.container.shapes import FoundImage, HostImageList, HostImageShape
from jeroboam.api.fields import FieldCheck, InvalidField, flag, no_effect, optional, read_fields, text
from jeroboam.api.wire import links, next_page, page_of
from jeroboam.domain.errors import Conflict, Unavailable
from jeroboam.domain.host_images import HostImage, ImageStatus
from jeroboam.domain.images import parse_reference, split_tag
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

_TAG = text(high=128, pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", rule="it has to be a tag.")
FIELDS: Mapping[str, FieldCheck] = {
    "repo": IMAGE,
    "host": text(),
    "tag": optional(_TAG),
    "image_id": no_effect,
    "size": no_effect,
    "image_pull_policy": no_effect,
}
_NAME = text(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._/:-]*\Z", rule="it has to be the name of an image, or a part of one.")
SEARCH: Mapping[str, FieldCheck] = {"image_driver": IMAGE_DRIVER, "exact_match": flag}


def _view(image: HostImage, base: str) -> HostImageShape:
    return {
        "uuid": image.uuid,
        "links": links(base, "images", image.uuid),
        "image_id": image.image_id,
        "repo": image.repo,
        "tag": image.tag,
        "size": None if image.size is None else str(image.size),
        "project_id": image.project_id,
        "host": image.host,
        "status": image.status,
        "status_reason": image.status_reason,
    }


async def index(call: Call) -> Answer:
    """GET /images: the images that were pulled on hosts"""
    page = page_of(call)
    async with call.parts.store.read() as tx:
        images = await tx.host_images.select(page=page)
    body: HostImageList = {
        "images": [_view(image, call.base) for image in images],
        "next": next_page(call, page, "images", images),
    }
    return reply(body)


async def _image_of(tx: Transaction, call: Call) -> HostImage:
    ident = call.path["image"]
    images = await tx.host_images.select({"uuid": ident.lower()}) if is_uuid(ident) else []
    if not images:
        raise ImageNotFound(f"Image {ident} could not be found.")
    call.subject.set_object(images[0].uuid, images[0].reference)
    return images[0]


async def show(call: Call) -> Answer:
    """GET /images/{}: an image on a host"""
    async with call.parts.store.read() as tx:
        image = await _image_of(tx, call)
    return reply(_view(image, call.base))


async def pull(call: Call) -> Answer:
    """POST /images: a pull on a host"""
    repo, tag, hostname = _read(call)
    async with call.parts.store.write() as tx:
        hosts = await tx.hosts_without_lock.select({"hostname": hostname})
        if not hosts:
            raise HostNotFound(f"Compute node {hostname} could not be found.", field="host")
        present = await tx.host_images.select({"repo": repo, "tag": tag, "host_id": hosts[0].uuid})
        deadline = tx.now + dt.timedelta(seconds=call.parts.options.create_seconds)
        if not present:
            image = HostImage(
                uuid=call.parts.ids.uuid(),
                repo=repo,
                tag=tag,
                host_id=hosts[0].uuid,
                host=hostname,
                project_id=call.caller.project_id,
                user_id=call.caller.user_id,
                deadline_at=deadline,
                created_at=tx.now,
            )
            await tx.host_images.insert(image)
        elif present[0].status is ImageStatus.ERROR:
            image = replace(
                present[0],
                status=ImageStatus.PULLING,
                status_reason=None,
                deadline_at=deadline,
                updated_at=tx.now,
            )
            await tx.host_images.update(image)
        else:
            text = f"Host {hostname} has image {present[0].reference} already: it is {present[0].status}."
            raise Conflict(text, field="repo")
        tx.hint("dispatch", f"{image.host_id}/image/{image.uuid}")
    call.subject.set_object(image.uuid, image.reference)
    body = _view(image, call.base)
    return reply(body, 202, ("Location", body["links"][0]["href"]))


def _read(call: Call) -> tuple[str, str, str]:
    """Repository, tag and host of the body."""
    body: dict[str, Any] = {**call.query, **call.fields()}
    for name in body:
        if name not in FIELDS:
            text = f"Additional properties are not allowed ('{name[:80]}' was unexpected)."
            raise SchemaError(text, field=name)
    for name in ("repo", "host"):
        if body.get(name) is None:
            raise SchemaError(f"'{name}' is a required property.", field=name)
    values = read_fields(body, FIELDS)
    if parse_reference(values["repo"]) is None:
        raise InvalidField("repo", values["repo"], "it has to be a reference such as registry.example.org/team/app.")
    repo, tag = split_tag(values["repo"])
    if tag is not None and values.get("tag") not in {None, tag}:
        raise InvalidField("tag", values["tag"], f"the repo names the tag {tag}.")
    return repo, tag or values.get("tag") or "latest", values["host"]


async def delete(call: Call) -> Answer:
    """DELETE /images/{}: the image's end on its host"""
    async with call.parts.store.write() as tx:
        image = await _image_of(tx, call)
        if not await tx.hosts_without_lock.select({"uuid": image.host_id}):
            await tx.host_images.remove({"uuid": image.uuid})
            return NO_CONTENT
        deleted_image = replace(
            image, status=ImageStatus.DELETING, status_reason=None, deadline_at=None, updated_at=tx.now
        )
        await tx.host_images.update(deleted_image)
        tx.hint("dispatch", f"{image.host_id}/image/{image.uuid}")
    return NO_CONTENT


async def search(call: Call) -> Answer:
    """GET /images/{name}/search: images of that name that hosts have and the caller's project may use"""
    name: str = _NAME("image", call.path["image"])
    async with call.parts.store.read() as tx:
        hosts = [host.uuid for host in await tx.hosts.select() if host.dispatcher is not None]
    answers = await asyncio.gather(*(_search_host(call, host_id, name) for host_id in hosts))
    if hosts and all(names is None for names in answers):
        raise Unavailable("No host answers.")
    tags: dict[str, set[str]] = {}
    for reference in {reference for names in answers for reference in names or ()}:
        repo, tag = split_tag(reference)
        tags.setdefault(repo, set()).add(tag or "latest")
    body: list[FoundImage] = [
        {
            "name": repo,
            "description": f"On hosts, with the tags: {', '.join(sorted(tags[repo]))}",
            "metadata": {"is_official": False, "star_count": 0},
            "tags": sorted(tags[repo]),
        }
        for repo in sorted(tags)
    ]
    return reply(body)


async def _search_host(call: Call, host_id: str, name: str) -> list[str] | None:
    """The names of images on that host; None if it does not answer."""
    exact = bool(call.query.get("exact_match", False))
    try:
        return list(
            await call.parts.gateway.search_images(host_id, name, exact=exact, project_id=call.caller.project_id)
        )
    except Unavailable:
        return None
