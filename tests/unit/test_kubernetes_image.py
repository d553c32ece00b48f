"""The Kubernetes node image before any Engine sees it: versions, layers, and the names that the catalogue gives."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jeroboam.bootstrap import images
from jeroboam.cli import app
from jeroboam.domain.nodes import image_name
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.engine import version_key
from jeroboam.nodeimages.kubernetes.layers import LAYERS, STORE, Layer, build_layers, pack_layers
from jeroboam.nodeimages.kubernetes.versions import OUTPUTS
from jeroboam.nodeimages.tree import RootTree, write_tar
from jeroboam.settings import load
from tests.unit.test_programs import Told

ASKED = {name: f"registry.invalid/{name}:v1" for name in (*OUTPUTS["kube"][3:], "etcd", "coredns", "pause")}


@pytest.fixture
def programs(tmp_path):
    made = {}
    for name in {name for outputs in OUTPUTS.values() for name in outputs}:
        made[name] = tmp_path / name
        made[name].write_text(name)
    return made


def archive(tree: RootTree) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tree.contents[f"{STORE}/archive.tar"][0])) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def test_the_newest_version_is_the_default():
    there = kubernetes.list_versions()
    assert kubernetes.find_version(None).name == max(there, key=version_key) == "v1.36.3"
    assert kubernetes.find_version("1.35.4") == kubernetes.find_version("v1.35.4") == there["v1.35.4"]
    assert all(set(version.components) == set(OUTPUTS) for version in there.values())


@pytest.mark.parametrize("unknown", ["v1.12.0", "latest", ""])
def test_an_unknown_version_is_refused_with_those_that_there_are(unknown):
    with pytest.raises(ValueError, match=r"there is: v1\.36\.3, v1\.35\.4"):
        kubernetes.find_version(unknown)


@pytest.mark.parametrize(
    ("coe", "also", "said"),
    [
        ("mesos", {}, "there is: swarm, kubernetes"),
        ("kubernetes", {"source": "thin air"}, "there is: releases, modules"),
        ("kubernetes", {"source": "modules", "mirror": "http://mirror.invalid"}, "GOPROXY"),
        ("kubernetes", {"source": "modules", "version": "v1.0.0"}, r"Kubernetes v1\.0\.0"),
        ("swarm", {"version": "v1.36.3"}, "no version"),
    ],
)
async def test_what_cannot_be_built_is_refused_at_once(coe, also, said):
    with pytest.raises(ValueError, match=said):
        await images.build(load(None), coe, Told(), **also)


def test_a_refusal_is_one_line_on_the_terminal():
    done = CliRunner().invoke(app, ["node-image", "build", "kubernetes", "--version", "v9.9.9"])
    assert done.exit_code == 1
    assert "there is no node image for Kubernetes v9.9.9; there is: v1.36.3" in " ".join(done.output.split())


def test_versions_are_ordered_by_number():
    assert sorted(["v1.36.3", "v1.9.9", "v1.35.10", "v1.35.4"], key=version_key) == [
        "v1.9.9",
        "v1.35.4",
        "v1.35.10",
        "v1.36.3",
    ]


def test_names_of_the_catalogue_are_names_of_the_engine():
    assert image_name("kubernetes-node") == "jeroboam/kubernetes-node:latest"
    assert image_name("kubernetes-node:v1.36.3") == "jeroboam/kubernetes-node:v1.36.3"


def test_every_image_that_kubeadm_asks_for_is_there_under_its_name(programs):
    found = pack_layers(build_layers(kubernetes.find_version(None), programs, ASKED))
    named = json.loads(archive(found)["index.json"])["manifests"]
    names = {entry["annotations"]["io.containerd.image.name"] for entry in named}
    assert set(ASKED.values()) <= names
    assert {"docker.io/library/busybox:latest", "jeroboam.io/coredns:node"} <= names
    of_kube = {entry["digest"] for entry in named if "kube-" in entry["annotations"]["io.containerd.image.name"]}
    assert len(of_kube) == 1


def test_a_layer_is_named_by_the_tar_that_it_would_be(programs):
    tree = RootTree(files={"etcd": programs["etcd"]}, folders=("tmp",))
    found = pack_layers([Layer(names=("a:1", "b:1"), config={"Cmd": ["/etcd"]}, tree=tree)])
    out = io.BytesIO()
    write_tar(tree, out)
    layer = hashlib.sha256(out.getvalue()).hexdigest()
    assert f"{LAYERS}/{layer}/fs/etcd" in found.files
    blobs = archive(found)
    (line,) = found.contents[f"{STORE}/images"][0].decode().splitlines()
    assert line.split()[0] == layer
    manifest = json.loads(blobs[f"blobs/sha256/{line.split()[1]}"])
    assert manifest["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": f"sha256:{layer}",
            "size": len(out.getvalue()),
        }
    ]
    config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{layer}"]
    assert config["config"] == {"Cmd": ["/etcd"]}


def test_the_shipped_recipe_is_whole():
    shipped = kubernetes.build_recipe("registry.invalid/pause:9")
    assert shipped.data == "/var/lib"
    assert 'sandbox = "registry.invalid/pause:9"' in shipped.contents["etc/containerd/config.toml"][0]
    for script in ("entry", "machine", "keep", "images"):
        text, mode = shipped.contents[f"usr/lib/jeroboam/{script}"]
        assert text.startswith("#!/bin/sh\n")
        assert mode == 0o755


def test_a_file_at_several_places_is_written_once(tmp_path):
    one = tmp_path / "one"
    one.write_text("one")
    (tmp_path / "same").hardlink_to(one)
    out = io.BytesIO()
    write_tar(RootTree(files={"a": one, "b/c": Path(tmp_path / "same"), "d": one}), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        kinds = {info.name: (info.type, info.linkname) for info in tar}
    assert kinds["a"] == (tarfile.REGTYPE, "")
    assert kinds["b/c"] == kinds["d"] == (tarfile.LNKTYPE, "a")
