"""Pods, services and replication controllers of a Kubernetes bay: created from manifests, shown as last observed.

Each change is a wish in one transaction. The orchestration loop applies it to the bay, and the status shows the
progress. Before a wish is stored the bay checks it in a dry run: a wish that the bay refuses is refused at once.
Neighbours: `manifest_reader` reads manifests; `shapes` has the published objects.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from jeroboam.api.bays.lookup import bay_of, bay_of_field, check_coe, check_open
from jeroboam.api.bays.manifest_reader import MOST_OCTETS, name_of, read_manifest
from jeroboam.api.bays.shapes import BayServiceShape, InBay, PodShape, RcShape
from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.lookup import expect_one, project_scope
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.fields import FieldCheck, optional, read_fields, text
from jeroboam.api.wire import apply_patch, changes_of, format_time, links, page_of
from jeroboam.domain.bay_manifests import (
    KIND_NAMES,
    BayManifest,
    BayManifestKind,
    BayManifestSpec,
    ask_manifest_change,
    ask_manifest_delete,
    current_facts_of,
    project_bay_manifest,
)
from jeroboam.domain.clusters import Cluster
from jeroboam.domain.errors import Conflict, Invalid
from jeroboam.domain.states import is_in_progress
from jeroboam.store import BayObjectSelector, Page, Transaction

_WISHES = ("manifest", "manifest_url")
FIELDS: dict[str, FieldCheck] = {
    "bay_uuid": text(),
    "manifest": optional(text(high=MOST_OCTETS)),
    "manifest_url": optional(text(high=2048)),
}
REQUIRED = "bay_uuid"
CHANGEABLE = _WISHES


class _Common(TypedDict):
    status_reason: str | None
    labels: dict[str, str]
    manifest: str | None
    manifest_url: str | None
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestResource:
    """The handlers of one of the three resources, and how the resources differ."""

    kind: BayManifestKind
    collection: str
    detail_view: Callable[[BayManifest, Call], PodShape | BayServiceShape | RcShape]
    """Builds the full view of an object."""

    async def index(self, call: Call) -> Answer:
        """The objects, in short."""
        page, manifests = await self._list_page(call)
        body = {self.collection: [summary_view(manifest, self.collection, call) for manifest in manifests]}
        return reply_page(call, page, self.collection, manifests, body)

    async def detail(self, call: Call) -> Answer:
        """The objects in full, but without their manifests, which may hold private data."""
        page, manifests = await self._list_page(call)
        body = {self.collection: [self.detail_view(manifest, call) | {"manifest": None} for manifest in manifests]}
        return reply_page(call, page, f"{self.collection}/detail", manifests, body)

    async def _list_page(self, call: Call) -> tuple[Page, list[BayManifest]]:
        """The page that the query asks for, and its objects."""
        page = page_of(call)
        scope = project_scope(call, f"{self.kind}:get_all_all_projects")
        selector: BayObjectSelector = {"kind": self.kind}
        if scope is not None:
            selector["project_id"] = scope
        async with call.parts.store.read() as tx:
            selector |= await _select_bay(tx, call)
            manifests = await tx.bay_manifests.select(selector, page=page)
        return page, manifests

    async def show(self, call: Call) -> Answer:
        """One object."""
        async with call.parts.store.read() as tx:
            manifest = await self._find(tx, call, "get_one_all_projects")
        return reply(self.detail_view(manifest, call))

    async def create(self, call: Call) -> Answer:
        """Create an object from a manifest."""
        body = call.fields()
        refuse_unknown(body, FIELDS, KIND_NAMES[self.kind].lower())
        if body.get(REQUIRED) is None:
            raise Invalid(f"Mandatory field missing: {REQUIRED}.", field=REQUIRED)
        wish = read_fields(body, FIELDS)
        async with call.parts.store.read() as tx:
            bay = await self._find_bay(tx, call, wish["bay_uuid"])
        spec = await self._read_spec(call, {name: wish.get(name) for name in _WISHES})
        manifest = self._build_manifest(call, spec, bay, call.parts.clock.now())
        # Before the dry run, in which the bay would refuse a second object of that name as a stranger's.
        async with call.parts.store.read() as tx:
            await self._check_name(tx, manifest, bay)
        await call.parts.conductor.check_manifest(manifest)
        async with call.parts.store.write() as tx:
            await self._check_name(tx, manifest, await self._find_bay(tx, call, bay.uuid))
            await tx.bay_manifests.insert(manifest)
            tx.hint("orchestrated", manifest.uuid)
        answer = self.detail_view(manifest, call)
        return reply(answer, 201, ("Location", answer["links"][0]["href"]))

    async def update(self, call: Call) -> Answer:
        """Replace the manifest of an object."""
        steps = changes_of(call.json())
        for step in steps:
            if step.root not in CHANGEABLE or step.member is not None:
                text = f"cannot change {KIND_NAMES[self.kind].lower()} property(ies) {step.root}."
                raise Invalid(text, field=step.root)
        async with call.parts.store.read() as tx:
            manifest = await self._find(tx, call, "update_all_projects")
        if not steps:
            return reply(self.detail_view(manifest, call))
        # A field that is not set may be added as well as replaced, as clients do.
        document = apply_patch(dict.fromkeys(_WISHES), steps)
        spec = await self._read_spec(call, {name: document.get(name) for name in _WISHES})
        if name_of(spec.manifest) != manifest.name:
            reason = f"its metadata.name is {name_of(spec.manifest)}, and has to stay {manifest.name}"
            raise Invalid(f"Invalid input for field 'manifest': {reason}.", field="manifest")
        await call.parts.conductor.check_manifest(self._apply_change(call, manifest, spec, call.parts.clock.now()))
        async with call.parts.store.write() as tx:
            manifest = await self._find(tx, call, "update_all_projects")
            manifest = self._apply_change(call, manifest, spec, tx.now)
            await tx.bay_manifests.update(manifest)
            tx.hint("orchestrated", manifest.uuid)
        return reply(self.detail_view(manifest, call))

    async def delete(self, call: Call) -> Answer:
        """Delete an object."""
        async with call.parts.store.write() as tx:
            manifest = await self._find(tx, call, "delete_all_projects")
            deadline = tx.now + dt.timedelta(seconds=call.parts.options.op_seconds)
            updated_manifest = ask_manifest_delete(manifest, now=tx.now, deadline=deadline)
            if updated_manifest is not manifest:
                await tx.bay_manifests.update(updated_manifest)
            tx.hint("orchestrated", manifest.uuid)
        return NO_CONTENT

    # ------------------------------------------------------------------------------------------------- its parts

    async def _find(self, tx: Transaction, call: Call, verb: str) -> BayManifest:
        """The object that the path names, inside the bay that the query names."""
        ident, scope = call.path[self.kind], project_scope(call, f"{self.kind}:{verb}")
        selector: BayObjectSelector = {"kind": self.kind}
        if scope is not None:
            selector["project_id"] = scope
        selector |= await _select_bay(tx, call)
        matches = await tx.bay_manifests.find(ident, selector)
        manifest = expect_one(matches, ident, KIND_NAMES[self.kind], self.collection)
        call.subject.set_object(manifest.uuid, manifest.name)
        return manifest

    async def _find_bay(self, tx: Transaction, call: Call, ident: str) -> Cluster:
        bay = await bay_of_field(tx, call, REQUIRED, ident)
        check_coe(bay, "kubernetes")
        check_open(bay, KIND_NAMES[self.kind])
        return bay

    async def _read_spec(self, call: Call, wish: dict[str, Any]) -> BayManifestSpec:
        """The spec of the wish. The manifest is fetched if the wish has a URL."""
        sources = [name for name, value in wish.items() if value is not None]
        if not sources:
            raise Invalid("Mandatory field missing: manifest or manifest_url.", field="manifest")
        if len(sources) > 1:
            raise Invalid(
                "manifest and manifest_url cannot both be given: name only one of them.", field="manifest_url"
            )
        [field] = sources
        source: str = FIELDS[field](field, wish[field])
        if field == "manifest_url":
            content = await call.parts.conductor.fetch_manifest(source, max_octets=MOST_OCTETS)
            try:
                manifest_text = content.decode()
            except UnicodeDecodeError as error:
                raise Invalid(
                    f"Invalid input for field '{field}': the content at that URL is not UTF-8 text.", field=field
                ) from error
            return BayManifestSpec(
                manifest=read_manifest(self.kind, manifest_text, field), text=manifest_text, url=source
            )
        return BayManifestSpec(manifest=read_manifest(self.kind, source, field), text=source)

    async def _check_name(self, tx: Transaction, manifest: BayManifest, bay: Cluster) -> None:
        for other in await tx.bay_manifests.select({"kind": self.kind, "cluster_id": bay.uuid, "name": manifest.name}):
            suffix = ", and is being deleted" if other.deleting else ""
            raise Conflict(
                f"A {KIND_NAMES[self.kind]} called {manifest.name} exists in bay {bay.uuid} already{suffix}."
            )

    def _build_manifest(self, call: Call, spec: BayManifestSpec, bay: Cluster, now: dt.datetime) -> BayManifest:
        # The object waits until its bay is created.
        begin = bay.deadline_at if is_in_progress(bay) and bay.deadline_at is not None else now
        manifest = BayManifest(
            uuid=call.parts.ids.uuid(),
            name=name_of(spec.manifest),
            project_id=bay.project_id,
            user_id=call.caller.user_id,
            kind=self.kind,
            cluster_id=bay.uuid,
            spec=spec,
            deadline_at=begin + dt.timedelta(seconds=call.parts.options.create_seconds),
            created_at=now,
        )
        return project_bay_manifest(manifest)

    def _apply_change(self, call: Call, manifest: BayManifest, spec: BayManifestSpec, now: dt.datetime) -> BayManifest:
        return ask_manifest_change(
            manifest, spec, now=now, deadline=now + dt.timedelta(seconds=call.parts.options.op_seconds)
        )


async def _select_bay(tx: Transaction, call: Call) -> BayObjectSelector:
    """The selector of the bay that the query names; empty if it names none."""
    ident = call.query.get("bay_ident")
    return {} if ident is None else {"cluster_id": (await bay_of(tx, call, ident)).uuid}


def summary_view(manifest: BayManifest, collection: str, call: Call) -> InBay:
    """The object as lists show it."""
    return {
        "uuid": manifest.uuid,
        "name": manifest.name,
        "bay_uuid": manifest.cluster_id,
        "status": manifest.status,
        "links": links(call.base, collection, manifest.uuid),
    }


def _common_view(manifest: BayManifest) -> _Common:
    return {
        "status_reason": manifest.status_reason,
        "labels": current_facts_of(manifest).labels,
        "manifest": manifest.spec.text,
        "manifest_url": manifest.spec.url,
        "created_at": format_time(manifest.created_at),
        "updated_at": format_time(manifest.updated_at),
    }


def _pod_view(manifest: BayManifest, call: Call) -> PodShape:
    facts = current_facts_of(manifest)
    return {
        **summary_view(manifest, "pods", call),
        **_common_view(manifest),
        "images": list(facts.images),
        "host": facts.host,
        "desc": None,
    }


def _service_view(manifest: BayManifest, call: Call) -> BayServiceShape:
    facts = current_facts_of(manifest)
    numbers = [port["port"] for port in facts.ports if isinstance(port.get("port"), int)]
    return {
        **summary_view(manifest, "services", call),
        **_common_view(manifest),
        "selector": facts.selector,
        "ip": facts.ip,
        "ports": list(facts.ports),
        "port": int(numbers[0]) if numbers else None,
    }


def _rc_view(manifest: BayManifest, call: Call) -> RcShape:
    facts = current_facts_of(manifest)
    return {
        **summary_view(manifest, "rcs", call),
        **_common_view(manifest),
        "images": list(facts.images),
        "selector": facts.selector,
        "replicas": facts.replicas,
    }


PODS = ManifestResource(kind=BayManifestKind.POD, collection="pods", detail_view=_pod_view)
SERVICES = ManifestResource(kind=BayManifestKind.SERVICE, collection="services", detail_view=_service_view)
RCS = ManifestResource(kind=BayManifestKind.RC, collection="rcs", detail_view=_rc_view)
