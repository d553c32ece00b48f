"""A bay's own Engine, as somebody with a docker command line and certificates of the bay would reach it."""

import json
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def new_key(folder: Path) -> str:
    """Write a key into the folder; a request for a certificate for it."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return request.public_bytes(pem).decode()


class Engine:
    """Its docker command line. `folder` holds ca.pem, cert.pem and key.pem."""

    def __init__(self, folder: Path, address: str) -> None:
        self._line = ["docker", "-H", address, "--tlsverify"]
        files = (("cacert", "ca"), ("cert", "cert"), ("key", "key"))
        self._line += [f"--tls{part}={folder}/{file}.pem" for part, file in files]

    def __call__(self, *words: str, stdin: bytes | None = None) -> str:
        done = subprocess.run([*self._line, *words], input=stdin, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def load(self, image: str) -> None:
        """Bring an image of this machine's Engine there: there is no registry."""
        saved = subprocess.run(["docker", "image", "save", image], capture_output=True, check=True).stdout
        self("image", "load", stdin=saved)

    def state(self, uuid: str) -> dict:
        """The state of the container with that uuid of ours."""
        return json.loads(self("inspect", "--format", "{{json .State}}", f"jeroboam-{uuid}"))

    def uuids(self) -> list[str]:
        """Those of all the containers that are ours."""
        return self("ps", "-a", "--format", '{{.Label "jeroboam.workload"}}').split()
