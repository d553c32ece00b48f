"""The Kubernetes node image: a machine with containerd, kubelet and kubeadm, and every image that kubeadm needs.

Its programs are compiled or fetched (`nodeimages.programs`), its tools are this host's (`nodeimages.host`), its
container images are built from both (`layers`) and already unpacked (`first_node`): no registry is needed.

What it guarantees to a COE:

- The script's commands run when containerd answers on `/run/containerd/containerd.sock` (CRI v1, namespace `k8s.io`).
  containerd is restarted whenever it ends; containers run on meanwhile.
- `/usr/lib/jeroboam/keep COMMAND…` runs a command and restarts it whenever it ends. It is meant for the last command,
  which stays in the foreground: the kubelet. The init reaps orphans. Output goes to the container's log.
- `/usr/local/bin` has kubeadm, kubelet, kubectl, kube-proxy, flanneld, containerd, ctr, runc; `/opt/cni/bin` bridge,
  ptp, host-local, loopback, portmap; `/usr/sbin` the host's tools (iptables in the family that the kernel knows, nft,
  conntrack, ip, …). `/bin/sh` is busybox, which prefers its own applets to programs on the path: call a tool by its
  path. Its `wget` does not speak TLS: `nc` finds out whether somebody listens.
- The cgroup driver is `cgroupfs`; where the host has cgroups of version 1 the kubelet needs `failCgroupV1: false`.
- The images that `kubeadm config images list` names are in the store under those names, pinned, and with them
  `docker.io/library/busybox:latest`, and those of the add-ons:
  `registry.k8s.io/metrics-server/metrics-server:VERSION`, `docker.io/rancher/local-path-provisioner:VERSION` and
  `docker.io/library/registry:VERSION`. The sandbox image is the first of them that is called `pause`.
- `jeroboam.io/NAME:node` (coredns, metrics-server, local-path-provisioner, registry) are this node image's own images,
  of any version. Pods that run on nodes of several versions use these names, so that every node has their image: a node
  that is rebuilt loses the images of its former version.
- Pods get their network from `/etc/cni/net.d` as soon as it has a file; before that, containerd uses
  `/etc/cni/pods.conflist.template` (ptp, host-local, portmap) with the pod CIDRs of the node.
- `/etc/containerd/certs.d/HOST/hosts.toml` configures the access to a registry, `/etc/containerd/conf.d/*.toml` changes
  the configuration of containerd. `/etc/containerd/environment`, if it exists, is added to the environment of
  containerd and of nothing else: lines NAME=value, taken literally to the end of the line.
- `/etc/resolv.conf` names a resolver that pods reach too. `/run` and `/tmp` are empty at every boot.
- `/var/lib` is the volume: it keeps the data of containerd, kubelet and etcd, and the machine id. A node that is
  rebuilt with another version on the same volume has its own images, and those that users pulled or loaded. Images of
  the earlier version that the new one lacks are removed, unless the node has run `/usr/lib/jeroboam/images own` with
  the earlier version, which copies them into the volume.
- `/etc` is not in the volume: a COE writes its files there at every boot.
"""

import asyncio
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.nodes import IMAGE_VERSION_LABEL
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.engine import (
    find_image,
    import_tree,
    label_instructions,
    labels_of,
    remove_replaced,
    tag_newest,
)
from jeroboam.nodeimages.gomodules import GoModules, Toolchain, read_recipes
from jeroboam.nodeimages.gotoolchain import find_packaged_go
from jeroboam.nodeimages.host import ENTRY, ImageRecipe, load_recipe, resolve_recipe
from jeroboam.nodeimages.kubernetes.first_node import ImageWithoutStore, Machine, bake
from jeroboam.nodeimages.kubernetes.layers import build_layers, list_kubeadm_images, pack_layers
from jeroboam.nodeimages.kubernetes.versions import OUTPUTS, Version, find_version, list_versions
from jeroboam.nodeimages.programs import ProgramCache, ProgramSource
from jeroboam.nodeimages.releases import Releases
from jeroboam.nodeimages.releases import read_checksums as sums
from jeroboam.nodeimages.releases import read_releases as published
from jeroboam.nodeimages.tree import RootTree

__all__ = [
    "Version",
    "assemble",
    "build",
    "build_modules",
    "build_recipe",
    "build_releases",
    "find_version",
    "list_versions",
    "read_pins",
]

CONTENT_LABEL = "jeroboam.content"
"""A label with a digest of the image's content, so that the same image is not built twice."""
_CONTENT_LETTERS = 16
_LAYOUT = 1
"""Incremented when the layout of the same parts changes."""
_SCRIPTS = {"entry.sh": ENTRY, "keep.sh": "usr/lib/jeroboam/keep", "images.sh": "usr/lib/jeroboam/images"}
_CNI = frozenset(OUTPUTS["cni"])
_BESIDE = frozenset({"etcd", "coredns", "registry", "local-path-provisioner", "metrics-server"})
_IN_PODS = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler"})


def build_recipe(pause: str) -> ImageRecipe:
    """Return the recipe of this package, for a sandbox image of that name."""
    base_recipe = load_recipe(__package__, _SCRIPTS)
    folder = files(__package__)
    texts = {
        "etc/containerd/config.toml": ((folder / "containerd.toml").read_text().replace("@PAUSE@", pause), 0o644),
        "etc/cni/pods.conflist.template": ((folder / "pods.conflist").read_text(), 0o644),
    }
    return replace(base_recipe, contents={**base_recipe.contents, **texts})


def build_modules() -> GoModules:
    """Return the source that compiles the programs."""
    folder = files(__package__)
    data = tomllib.loads((folder / "modules.toml").read_text())
    return GoModules(
        read_recipes(data["modules"]), folder / "go", Toolchain(**data["toolchain"]), packaged_go=find_packaged_go()
    )


def build_releases(mirror: str, checksums: Mapping[str, str] | None = None) -> Releases:
    """Return the source that fetches published programs, from the mirror if one is named.

    Files are checked against the pins of the `SHA256SUMS` of this package. `checksums`, as SHA-256 by home and path,
    replace all pins.
    """
    release_table = published(tomllib.loads((files(__package__) / "releases.toml").read_text()))
    return Releases(release_table, mirror, pins=read_pins(), checksums=checksums)


def read_pins() -> Mapping[str, str]:
    """Return the pinned SHA-256 checksums by home and path."""
    return sums((files(__package__) / "SHA256SUMS").read_text())


async def build(
    docker: DockerClient, release: Version, source: ProgramSource, cache: ProgramCache, machine: Machine
) -> BuiltImage:
    """Build the image of that version on that Engine unless one with the same content exists.

    Raises `Permanent` for what this machine lacks, `Temporary` when a source or the Engine does not answer.
    """
    # Quick checks come before steps that take minutes.
    with translate_errors("looking for the Docker Engine"):
        await docker.version()
    await asyncio.to_thread(resolve_recipe, build_recipe(""))
    programs = await cache.get(source, release.programs)
    image_names = await list_kubeadm_images(programs["kubeadm"], release)
    image_recipe = build_recipe(image_names["pause"])
    name = f"{image_recipe.repository}:{release.name}"
    resolved_recipe = await asyncio.to_thread(resolve_recipe, image_recipe, _node_paths(programs))
    layers = await asyncio.to_thread(build_layers, release, programs, image_names)
    content_hash = hashlib.sha256(f"{_LAYOUT} {resolved_recipe.digest(image_recipe)}".encode())
    for layer in layers:
        content_hash.update(f"{layer.names} {layer.config} {layer.tree.digest()}".encode())
    content = content_hash.hexdigest()[:_CONTENT_LETTERS]
    with translate_errors(f"making the node image {name}"):
        async with cache.lock(f"image-{release.name}", f"image {release.name}"):
            former_image = await find_image(docker, name)
            is_new = former_image is None or labels_of(former_image).get(CONTENT_LABEL) != content
            if is_new:
                with cache.report_time(f"image {release.name}"):
                    tree = await asyncio.to_thread(resolved_recipe.tree, image_recipe) | await asyncio.to_thread(
                        pack_layers, layers
                    )
                    await assemble(docker, image_recipe, tree, release.name, content, machine)
            await tag_newest(docker, image_recipe.name)
            if is_new and former_image is not None:
                await remove_replaced(docker, former_image["Id"])
        image_id: str = (await docker.images.inspect(name))["Id"]
    return BuiltImage(id=image_id, name=name, fresh=is_new)


def _node_paths(programs: Mapping[str, Path]) -> dict[str, Path]:
    """Return the node's own programs by their path in the image."""
    inside = {name: f"opt/cni/bin/{name}" if name in _CNI else f"usr/local/bin/{name}" for name in programs}
    return {inside[name]: path for name, path in programs.items() if name not in _BESIDE | _IN_PODS}


async def assemble(
    docker: DockerClient, image_recipe: ImageRecipe, tree: RootTree, version: str, content: str, machine: Machine
) -> str:
    """Import the tree as an image and run its first node; return the id of the final image."""
    bare_tag = f"bare-{content}"
    # Without labels no provider takes the unfinished image for a node image.
    await import_tree(docker, image_recipe, tree, bare_tag, [])
    try:
        return await bake(
            docker,
            ImageWithoutStore(name=f"{image_recipe.repository}:{bare_tag}", data=image_recipe.data),
            machine,
            repository=image_recipe.repository,
            tag=version,
            changes=label_instructions(image_recipe, {IMAGE_VERSION_LABEL: version, CONTENT_LABEL: content}),
        )
    finally:
        await remove_replaced(docker, f"{image_recipe.repository}:{bare_tag}")
