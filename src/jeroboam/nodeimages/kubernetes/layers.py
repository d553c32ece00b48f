"""The container images that are part of a node image, as folders that containerd's store can link to.

A layer is unpacked in the node image; its name is the digest of its tar. Its images are a few lines of JSON beside it.
That needs no registry and no image tool. Neighbours: `images.sh` in the node, which links the folders and reads the
files that are written here.
"""

import asyncio
import hashlib
import io
import json
import platform
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jeroboam.domain.errors import Permanent
from jeroboam.nodeimages.host import read_root_recipe, resolve_recipe
from jeroboam.nodeimages.kubernetes.versions import Version
from jeroboam.nodeimages.tree import RootTree, blocks, write_tar

LAYERS = "usr/lib/jeroboam/layers"
STORE = "usr/lib/jeroboam/store"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OCI = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_KUBEADM_SECONDS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A root folder with the names of the images that have only this layer."""

    names: tuple[str, ...]
    config: Mapping[str, Any]
    tree: RootTree


async def list_kubeadm_images(kubeadm: Path, version: Version) -> Mapping[str, str]:
    """Return the images that kubeadm needs: full names by their last part without a tag, such as `pause`.

    Raises `Permanent` when kubeadm does not run on this machine.
    """
    process = await asyncio.create_subprocess_exec(
        *(kubeadm, "config", "images", "list", "--kubernetes-version", version.name),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), _KUBEADM_SECONDS)
    if process.returncode != 0:
        raise Permanent(f"kubeadm {version.name} does not run here: {err.decode(errors='replace').strip()}")
    return {name.rpartition("/")[2].partition(":")[0]: name for name in out.decode().split()}


def build_layers(version: Version, programs: Mapping[str, Path], image_names: Mapping[str, str]) -> Sequence[Layer]:
    """Build the layers of `layers.toml` from these programs. Raises `Permanent` with what this host lacks."""
    layers = []
    for name, table in tomllib.loads((files(__package__) / "layers.toml").read_text()).items():
        own_files = {inside: programs[program] for inside, program in table.pop("own", {}).items()}
        names = [image_names[image] for image in table.pop("kubeadm", [])]
        names += [text.format(**version.components) for text in table.pop("names", [])]
        config = {
            "Env": [f"PATH={_PATH}"],
            "Entrypoint": table.pop("entrypoint", None),
            "Cmd": table.pop("command", None),
        }
        recipe = read_root_recipe({"name": name, "programs": [], "packages": "", **table})
        tree = resolve_recipe(recipe, own_files).tree(recipe)
        layers.append(
            Layer(names=tuple(names), config={key: value for key, value in config.items() if value}, tree=tree)
        )
    return layers


def pack_layers(layers: Sequence[Layer]) -> RootTree:
    """Return a tree with the unpacked layers, an archive of the images' metadata, and the list of layers by image."""
    tree = RootTree()
    blobs: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    lines = []
    for layer in layers:
        digest, size = _measure_tar(layer.tree)
        tree |= layer.tree.under(f"{LAYERS}/{digest}/fs") | RootTree(folders=(f"{LAYERS}/{digest}/work",))
        manifest = _manifest(layer.config, digest, size, blobs)
        entries += [{**manifest, "annotations": {"io.containerd.image.name": name}} for name in layer.names]
        lines.append(f"{digest} {manifest['digest'].removeprefix('sha256:')}")
    archive = _archive(blobs, entries)
    return tree | RootTree(
        contents={
            f"{STORE}/archive.tar": (archive, 0o644),
            f"{STORE}/images": ("\n".join([*lines, ""]).encode(), 0o644),
            f"{STORE}/digest": (hashlib.sha256(archive).hexdigest().encode(), 0o644),
        }
    )


def _measure_tar(tree: RootTree) -> tuple[str, int]:
    """Return the digest and the length of the tree's tar."""
    with tempfile.TemporaryFile() as tar:
        write_tar(tree, tar)
        content_hash = hashlib.sha256()
        for block in blocks(tar):
            content_hash.update(block)
        return content_hash.hexdigest(), tar.tell()


def _manifest(config: Mapping[str, Any], layer: str, size: int, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Add an image's blobs; return the descriptor of its manifest."""
    machine = platform.machine()
    config_descriptor = _blob(
        f"{_OCI}.config.v1+json",
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        },
        blobs,
    )
    content = {"mediaType": f"{_OCI}.layer.v1.tar", "digest": f"sha256:{layer}", "size": size}
    kind = f"{_OCI}.manifest.v1+json"
    return _blob(kind, {"schemaVersion": 2, "mediaType": kind, "config": config_descriptor, "layers": [content]}, blobs)


def _blob(kind: str, value: Mapping[str, Any], blobs: dict[str, bytes]) -> dict[str, Any]:
    content = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def _archive(blobs: Mapping[str, bytes], entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Return an OCI archive without the layers, which are in the store already."""
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": list(entries)}
    contents = {f"blobs/sha256/{digest}": content for digest, content in blobs.items()}
    contents["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    contents["index.json"] = json.dumps(index, sort_keys=True).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in sorted(contents.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
