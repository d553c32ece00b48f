"""conformance_registry.py FOLDER NAME TAG ARCHIVE: writes the folder that `agnhost fake-registry-server` serves.

The folder holds one image from an archive of `docker save`, in the layout that the Kubernetes repository's own script
creates with another tool. Neighbour: `conformance_images.sh`.
"""

import gzip
import hashlib
import json
import pathlib
import sys
import tarfile

DOCKER = "application/vnd.docker."


def write_registry(folder: pathlib.Path, tag: str, archive: pathlib.Path) -> None:
    """Write the one image of the archive under that tag."""

    def put(kind: str, content: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        path = folder / kind / "sha256" / digest[:2] / digest / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    def put_json(content: dict[str, object]) -> dict[str, object]:
        media = str(content["mediaType"])
        return put("manifests", json.dumps(content).encode(), media)

    with tarfile.open(archive) as tar:

        def read(member: str) -> bytes:
            file = tar.extractfile(member)
            assert file is not None
            return file.read()

        [image] = json.loads(read("manifest.json"))
        config = put("blobs", read(image["Config"]), f"{DOCKER}container.image.v1+json")
        layers = [
            put("blobs", gzip.compress(read(layer), mtime=0), f"{DOCKER}image.rootfs.diff.tar.gzip")
            for layer in image["Layers"]
        ]
    manifest = f"{DOCKER}distribution.manifest.v2+json"
    one = put_json({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": layers})
    every = f"{DOCKER}distribution.manifest.list.v2+json"
    platforms = [{**one, "platform": {"architecture": "amd64", "os": "linux"}}]
    index = put_json({"schemaVersion": 2, "mediaType": every, "manifests": platforms})
    (folder / "manifests" / tag).write_text(f"{index['digest']}\n")


if __name__ == "__main__":
    root, name, tag, archive = sys.argv[1:]
    write_registry(pathlib.Path(root) / name, tag, pathlib.Path(archive))
