"""The keys of a cluster that lives for one session: an authority, its programs' certificates, and a kubeconfig for each client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NODES = ("node-1", "node-2", "node-3")
"""The names of the cluster's real nodes, of which one is there at a time."""

_CLIENTS = {
    "admin": ("admin", "system:masters"),
    "apiserver": ("kube-apiserver", "system:masters"),
    "controllers": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    **{node: (f"system:node:{node}", "system:nodes") for node in NODES},
    "proxy": ("system:kube-proxy", None),
    "names": ("names", "system:masters"),
}
_SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class Certificates:
    """A folder with `ca.crt`; `server.*` for what listens, CLIENT.* for who connects, `accounts.*` for the tokens of ServiceAccounts."""

    folder: Path

    def file(self, name: str) -> str:
        """The path of a file, as programs take it."""
        return str(self.folder / name)

    def kubeconfig(self, client: str, server: str) -> Path:
        """Write how a client connects to a server's URL, and return the file."""
        path = self.folder / f"{client}.kubeconfig"
        user = {"client-certificate": self.file(f"{client}.crt"), "client-key": self.file(f"{client}.key")}
        write_kubeconfig(path, server, self.file("ca.crt"), user)
        return path


def write_kubeconfig(path: Path, server: str, authority: str, user: dict[str, str], *, namespace: str = "default") -> None:
    """Write a kubeconfig of one user; JSON is YAML too."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "tests", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": namespace}}],
        "current-context": "tests",
    }
    _write(path, json.dumps(document).encode())


def make_certificates(folder: Path, addresses: Sequence[str]) -> Certificates:
    """Make an authority and all that it signs; servers answer at `addresses` and on this machine."""
    folder.mkdir(parents=True)
    key = generate_private_key(SECP256R1())
    name = _name("autollm-tests", None)
    authority = (
        _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )
    _write(folder / "ca.crt", authority.public_bytes(Encoding.PEM))

    names: list[x509.GeneralName] = [x509.DNSName(each) for each in _SERVER_NAMES]
    names += [x509.IPAddress(ip_address(each)) for each in ("127.0.0.1", *addresses)]
    server = x509.SubjectAlternativeName(names)
    for file, (common_name, organisation), usage, extension in [
        ("server", ("server", None), ExtendedKeyUsageOID.SERVER_AUTH, server),
        *((client, subject, ExtendedKeyUsageOID.CLIENT_AUTH, None) for client, subject in _CLIENTS.items()),
    ]:
        own = generate_private_key(SECP256R1())
        builder = _builder(_name(common_name, organisation), name, own).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = (builder.add_extension(extension, critical=False) if extension else builder).sign(key, hashes.SHA256())
        _write(folder / f"{file}.crt", signed.public_bytes(Encoding.PEM))
        _write_key(folder / f"{file}.key", own)

    accounts = generate_private_key(SECP256R1())
    _write_key(folder / "accounts.key", accounts)
    _write(folder / "accounts.pub", accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Certificates(folder)


def _name(common_name: str, organisation: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    return x509.Name([*parts, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
    )


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
