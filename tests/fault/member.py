"""What `openstack coe cluster config` does for a user: a key of their own, signed by the cluster's authority."""

import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fault.installation import Installation


async def authority(installation: Installation, cluster: str) -> str | None:
    """The cluster's CA certificate, once there is one to be seen."""
    answer = await installation.ask("GET", f"/container-infra/v1/certificates/{cluster}")
    return answer.body["pem"] if answer.status == 200 else None


async def credentials(installation: Installation, cluster: str, ca: str) -> ssl.SSLContext:
    """What a user holds from then on: trust in that CA alone, and a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    # The client asks to be a master of Kubernetes; a Swarm does not look.
    asked = {NameOID.COMMON_NAME: "demo", NameOID.ORGANIZATION_NAME: "system:masters"}
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in asked.items()])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    body = {"cluster_uuid": cluster, "csr": csr}
    signed = (await installation.good("POST", "/container-infra/v1/certificates", body))["pem"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca)
    with tempfile.NamedTemporaryFile() as file:
        file.write(signed.encode() + b"\n")
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context
