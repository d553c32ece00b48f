"""Checks before a wish is stored whether the provider's catalogue and the COE can carry it out.

The API calls this through the port `Admission` and stores the wish afterwards; drivers never see the store. Texts and
statuses are those of the container-infra contract, sections 5 and 6. Neighbour: `capacity`, which checks memory, disk
and networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace

from jeroboam.coes.base import Coe, SupportsImageVersions, SupportsLoadBalancer, SupportsRollout, SupportsRotation
from jeroboam.conductor.admission import capacity
from jeroboam.conductor.clusters.plans import image_of, owner_of
from jeroboam.domain import infra_labels
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import MASTER, ROLES, Cluster, NodeGroup, TemplateSpec, flavor_of
from jeroboam.domain.errors import (
    BadValue,
    Conflict,
    DriverError,
    Invalid,
    NotFound,
    Temporary,
    Unavailable,
    bad_label,
)
from jeroboam.domain.field_effects import (
    CLUSTERS,
    NODE_GROUPS,
    TEMPLATES,
    check_fields,
    is_ignored,
    list_infra_labels,
)
from jeroboam.providers.base import Catalog, CloudUser, Image, Network, Provider, SupportsScriptRenewal


@contextmanager
def _translate_driver_errors() -> Iterator[None]:
    """Turn a driver error into `Unavailable`: a catalogue that does not answer is not the caller's fault."""
    try:
        yield
    except DriverError as error:
        raise Unavailable(f"The provider cannot be asked now: {error.reason}") from error


class DriverAdmission:
    """Implements `Admission` with the drivers of this service."""

    def __init__(self, *, providers: Mapping[str, Provider], coes: Mapping[str, Coe], default_provider: str) -> None:
        self._providers = providers
        self._coes = coes
        self._default = default_provider

    async def admit_template(self, spec: TemplateSpec, caller: Caller) -> TemplateSpec:
        """Return the spec with its driver and with the distribution of its image."""
        with _translate_driver_errors():
            return await self._admit_template(spec, caller)

    async def _admit_template(self, spec: TemplateSpec, caller: Caller) -> TemplateSpec:
        coe = self._find_coe(spec)
        driver = spec.driver or self._default
        user = CloudUser(project_id=caller.project_id, user_id=caller.user_id)
        catalog = self._find_provider(driver).catalog(user)
        check_fields(TEMPLATES, asdict(spec), driver)
        await self._check_coe_rules(coe, catalog, spec)
        image = await self._find_image(catalog, image_of(coe, spec.image_id, spec.labels), spec.coe)
        for field, flavor in (("flavor_id", spec.flavor_id), ("master_flavor_id", spec.master_flavor_id)):
            await self._check_flavor(catalog, flavor, field)
        await self._check_external_network(catalog, spec.external_network_id)
        await self._check_fixed_network(catalog, spec.fixed_network, spec.fixed_subnet)
        return replace(spec, driver=driver, cluster_distro=image.os_distro)

    async def admit_cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], caller: Caller) -> None:
        """Raise if the provider lacks something that the cluster names, or if a node cannot boot yet."""
        with _translate_driver_errors():
            await self._admit_cluster(cluster, groups, caller)

    async def _admit_cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], caller: Caller) -> None:
        template = replace(cluster.spec.template, labels=cluster.spec.labels)
        coe = self._find_coe(template)
        driver = template.driver or self._default
        provider = self._find_provider(driver)
        catalog = provider.catalog(CloudUser(project_id=cluster.project_id, user_id=caller.user_id))
        await self._check_coe_rules(coe, catalog, template)
        check_fields(TEMPLATES, asdict(template), driver)
        check_fields(CLUSTERS, asdict(cluster.spec), driver, template.coe)
        await self._check_boot_image(catalog, coe, template.coe, template.image_id, template.labels)
        if cluster.spec.master_lb_enabled and isinstance(coe, SupportsLoadBalancer):
            await self._check_balancer_image(catalog, coe.balancer_image)
        for group in groups:
            await self._check_flavor(catalog, flavor_of(cluster, group), "flavor_id")
        await capacity.check_flavors(coe, provider, cluster, groups)
        await capacity.check_networks(coe, provider, template)
        await capacity.check_room(coe, provider, cluster, groups)
        keypair = cluster.spec.keypair
        needs_keypair = keypair is not None and not is_ignored(CLUSTERS, "keypair", keypair, driver)
        if needs_keypair and not await catalog.has_keypair(str(keypair)):
            raise NotFound(f"Unable to find keypair {keypair}.", field="keypair")
        # A public template may name an external network that this project does not see.
        await self._check_external_network(catalog, template.external_network_id)
        await self._check_fixed_network(catalog, cluster.spec.fixed_network, cluster.spec.fixed_subnet)
        await self._check_infra_labels(catalog, driver, template.labels)

    async def admit_nodegroup(self, cluster: Cluster, group: NodeGroup, caller: Caller) -> None:
        """Raise if the provider lacks something that the group names, or if the COE cannot honour a label."""
        with _translate_driver_errors():
            template = replace(cluster.spec.template, labels=group.spec.labels)
            coe = self._find_coe(template)
            driver = template.driver or self._default
            provider = self._find_provider(driver)
            catalog = provider.catalog(CloudUser(project_id=cluster.project_id, user_id=caller.user_id))
            await self._check_coe_rules(coe, catalog, template)
            check_fields(NODE_GROUPS, asdict(group.spec), driver, template.coe)
            image, labels = group.spec.image_id or template.image_id, cluster.spec.labels | group.spec.labels
            await self._check_boot_image(catalog, coe, template.coe, image, labels)
            await self._check_flavor(catalog, flavor_of(cluster, group), "flavor_id")
            await self._check_infra_labels(catalog, driver, labels)
            await capacity.check_flavors(coe, provider, cluster, [group])
            await capacity.check_room(coe, provider, cluster, [group])

    async def admit_growth(self, cluster: Cluster, group: NodeGroup, added_nodes: int) -> None:
        with _translate_driver_errors():
            template = cluster.spec.template
            coe, provider = self._find_coe(template), self._find_provider(template.driver or self._default)
            await capacity.check_room_to_grow(coe, provider, cluster, group, added_nodes)

    async def admit_change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> frozenset[str]:
        """Return the roles of nodes that the change makes anew. Raise if the drivers cannot carry it out."""
        with _translate_driver_errors():
            return await self._admit_change(before, after, groups)

    async def _admit_change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> frozenset[str]:
        old, new = before.spec.template, after.spec.template
        for field in ("coe", "driver", "server_type"):
            if getattr(old, field) != getattr(new, field):
                text = f"A cluster with {field} {getattr(old, field)} cannot become one with {getattr(new, field)}."
                raise Conflict(text, field="cluster_template")
        # The key pair and the network stay as they are, unchecked: a colleague has no key pair of the creator's.
        coe = self._find_coe(new)
        driver = new.driver or self._default
        provider = self._find_provider(driver)
        # Whoever asks for the change, the cluster's own project has to see what it names.
        catalog = provider.catalog(owner_of(after))
        await self._check_coe_rules(coe, catalog, replace(new, labels=after.spec.labels))
        changed_labels = dict(after.spec.labels.items() - before.spec.labels.items())
        await self._check_infra_labels(catalog, driver, changed_labels)
        if old.external_network_id != new.external_network_id:
            await self._check_external_network(catalog, new.external_network_id)
        for group in groups:
            await self._check_flavor(catalog, flavor_of(after, group), "flavor_id")
            image, labels = group.spec.image_id or new.image_id, after.spec.labels | group.spec.labels
            await self._check_boot_image(catalog, coe, new.coe, image, labels)
        await capacity.check_flavors(coe, provider, after, groups)
        if old == new and before.spec.labels == after.spec.labels:
            return frozenset()
        if not isinstance(coe, SupportsRollout):
            return ROLES if old != new else frozenset()
        coe.check_change(replace(old, labels=before.spec.labels), replace(new, labels=after.spec.labels))
        changed_options = {key for key in coe.node_options if before.spec.labels.get(key) != after.spec.labels.get(key)}
        if old != new or changed_options - coe.master_options:
            return ROLES
        return frozenset({MASTER}) if changed_options else frozenset()

    async def admit_rotation(self, cluster: Cluster) -> None:
        """Raise `Invalid` unless both drivers of the cluster support the rotation."""
        template = cluster.spec.template
        coe, provider = self._find_coe(template), self._find_provider(template.driver or self._default)
        if not isinstance(coe, SupportsRotation) or not isinstance(provider, SupportsScriptRenewal):
            raise Invalid(f"Rotating the CA certificate is not supported for {template.coe} on {template.driver}.")

    async def _check_coe_rules(self, coe: Coe, catalog: Catalog, spec: TemplateSpec) -> None:
        """Raise what the COE says of the spec. For a version that does not exist, name the versions that do."""
        try:
            coe.check(spec)
        except Invalid as error:
            if not isinstance(coe, SupportsImageVersions) or error.field != f"labels/{coe.version_label}":
                raise
            with suppress(Temporary):
                if versions := await catalog.versions(spec.image_id):
                    text = f"{error.detail.rstrip('.')}; there is: {', '.join(versions)}."
                    raise Invalid(text, field=error.field) from error
            raise

    async def _check_boot_image(self, catalog: Catalog, coe: Coe, name: str, ref: str, labels: dict[str, str]) -> None:
        """Raise for an image that nodes cannot boot from. Name the version label if the label chose it.

        If images cannot be looked up now, the wish is accepted. The status of the cluster then says what it waits for.
        """
        try:
            image = await self._find_image(catalog, image_of(coe, ref, labels), name)
        except Temporary:
            return
        if image.unavailable_reason and isinstance(coe, SupportsImageVersions) and image_of(coe, ref, labels) != ref:
            field = f"labels/{coe.version_label}"
            raise BadValue(field, labels[coe.version_label], image.unavailable_reason)
        if image.unavailable_reason:
            raise Invalid(
                f"Image {image.name.partition(':')[0]} cannot be used yet: {image.unavailable_reason}", field="image_id"
            )

    async def _check_balancer_image(self, catalog: Catalog, ref: str) -> None:
        try:
            image = await catalog.image(ref)
        except Temporary:
            return
        if image is None or image.unavailable_reason:
            reason = "there is no image for it" if image is None else image.unavailable_reason
            raise Invalid(f"master_lb_enabled cannot be true: {reason}", field="master_lb_enabled")

    def _find_coe(self, spec: TemplateSpec) -> Coe:
        coe = self._coes.get(spec.coe)
        if coe is None:
            supported_names = ", ".join(sorted(self._coes))
            raise Invalid(
                f"Requested COE type {spec.coe} is not supported, this service has: {supported_names}.", field="coe"
            )
        return coe

    def _find_provider(self, driver: str) -> Provider:
        provider = self._providers.get(driver)
        if provider is None:
            supported_names = ", ".join(sorted(self._providers))
            raise Invalid(
                f"Cluster driver ({driver}) not supported, this service has: {supported_names}.", field="driver"
            )
        return provider

    async def _find_image(self, catalog: Catalog, ref: str, coe: str) -> Image:
        image = await catalog.image(ref)
        if image is None:
            raise Invalid(f"Unable to find image {ref}.", field="image_id")
        if not image.os_distro:
            raise Invalid(f"Image {ref} doesn't contain os_distro field.", field="image_id")
        if image.coes and coe not in image.coes:
            raise Invalid(f"Image {ref} is not made for {coe}, but for {', '.join(image.coes)}.", field="image_id")
        return image

    async def _check_flavor(self, catalog: Catalog, ref: str | None, field: str) -> None:
        if ref is not None and await catalog.flavor(ref) is None:
            raise Invalid(f"Unable to find flavor {ref}.", field=field)

    async def _check_external_network(self, catalog: Catalog, ref: str | None) -> None:
        if ref is None:
            return
        matches = [network for network in await catalog.networks(ref) if network.external]
        if not matches:
            raise Invalid(f"Unable to find external network {ref}.", field="external_network_id")
        if len(matches) > 1:
            text = f"Multiple external networks exist with same name '{ref}'"
            raise Conflict(f"{text}, please use the external network ID instead.", field="external_network_id")

    async def _check_fixed_network(self, catalog: Catalog, ref: str | None, subnet_ref: str | None) -> None:
        network = None if ref is None else await self._find_fixed_network(catalog, ref)
        if subnet_ref is None:
            return
        subnets = await catalog.subnets(subnet_ref)
        if not subnets:
            raise Invalid(f"Unable to find fixed subnet {subnet_ref}.", field="fixed_subnet")
        if network is not None:
            subnets = [subnet for subnet in subnets if subnet.network_id == network.id]
            if not subnets:
                text = f"Unable to use fixed subnet {subnet_ref}: it is not in fixed network {ref}."
                raise Invalid(text, field="fixed_subnet")
        if len(subnets) > 1:
            text = f"Multiple subnets exist with same name '{subnet_ref}', please use the subnet ID instead."
            raise Conflict(text, field="fixed_subnet")

    async def _find_fixed_network(self, catalog: Catalog, ref: str) -> Network:
        networks = await catalog.networks(ref)
        internal_networks = [network for network in networks if not network.external]
        if networks and not internal_networks:
            text = f"Unable to use fixed network {ref}: it is an external network, and nodes need one inside."
            raise Invalid(text, field="fixed_network")
        if not internal_networks:
            raise Invalid(f"Unable to find fixed network {ref}.", field="fixed_network")
        if len(internal_networks) > 1:
            text = f"Multiple networks exist with same name '{ref}', please use the network ID instead."
            raise Conflict(text, field="fixed_network")
        return internal_networks[0]

    async def _check_infra_labels(self, catalog: Catalog, driver: str, labels: Mapping[str, str]) -> None:
        """Raise `Invalid` for a label that this provider reads and cannot carry out."""
        used_labels = {name: labels[name] for name in sorted(list_infra_labels(driver) & labels.keys())}
        for name, value in used_labels.items():
            infra_labels.check_label(name, value)
        zone = used_labels.get(infra_labels.AVAILABILITY_ZONE)
        if zone and zone not in (zones := await catalog.availability_zones()):
            raise bad_label(infra_labels.AVAILABILITY_ZONE, zone, f"there is: {', '.join(zones)}.")
        types = {name: used_labels[name] for name in infra_labels.VOLUME_TYPES if used_labels.get(name)}
        known_types = await catalog.volume_types() if types else ()
        for name, volume_type in types.items():
            if volume_type not in known_types:
                raise bad_label(name, volume_type, f"there is: {', '.join(known_types)}.")
