"""A certificate authority of a test's own, and a certificate of it for one address."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Certificates:
    """Files: `authority` for who is to believe it, `chain` and `key` for the server."""

    authority: Path
    chain: Path
    key: Path
    spki: str
    """SHA-256 of the server's public key, as Chromium's flag takes it."""


def certificates(folder: Path, address: str) -> Certificates:
    """For an IP address, good for a day."""
    folder.mkdir(parents=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name.from_rfc4514_string("CN=authority of a test")
    authority = (
        _builder(issuer, issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    subject = x509.Name.from_rfc4514_string(f"CN={address}")
    server = (
        _builder(subject, issuer, key)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    made = Certificates(
        folder / "authority.pem",
        folder / "fullchain.pem",
        folder / "privkey.pem",
        base64.b64encode(hashlib.sha256(spki).digest()).decode(),
    )
    made.authority.write_bytes(authority.public_bytes(_PEM))
    made.chain.write_bytes(server.public_bytes(_PEM) + authority.public_bytes(_PEM))
    made.key.write_bytes(
        key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
