"""Certificates for the members and clients of an etcd cluster, and the authority behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME: Final = timedelta(days=30)
_SKEW: Final = timedelta(hours=1)
_BOTH_SIDES: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM form, by which two ends prove to each other who they are."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def within(cls, folder: Path) -> Self:
        """Return the files of a folder that `Authority.issue` wrote to."""
        return cls(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")


class Authority:
    """Signs certificates; its own key is never written down."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("moorage lab")
        self._certificate = (
            self._builder(self._subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self._subject)
            .subject_name(subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LIFETIME)
        )

    def issue(
        self, folder: Path, common: str, addresses: Iterable[IPv6Address] = ()
    ) -> Certificates:
        """Write a new key, the certificate for it, and the authority's own.

        Args:
            folder: where to; it is made.
            common: name of the holder.
            addresses: where it is reached, if it is a server.
        """
        folder.mkdir(mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName(common), *(x509.IPAddress(address) for address in addresses)]
        )
        certificate = (
            self._builder(_name(common), key.public_key())
            .add_extension(names, critical=False)
            .add_extension(_BOTH_SIDES, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = Certificates.within(folder)
        files.ca.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(private)
        return files
