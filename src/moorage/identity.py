"""Who a host is: its Ed25519 key, the DUID made from it, and signed DHCPv6 messages.

A request carries a signature over the message, its time and the link, so that nobody else can move
the host's prefixes. The signature is the last sub-option of the last option, hence the last
64 bytes of the datagram; they count as zero in the text that is signed. See ``docs/protocol.md``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from moorage.wire.dhcp6 import (
    DuidUuid,
    LinkLayerAddress,
    Message,
    OnDemand,
    PublicKey,
    Signature,
    VendorOpts,
)

_CONTEXT = b"moorage dhcp6 v1"
_CONTEXT_OF_SECRETS = b"moorage secret v1 "
_ZERO_SIGNATURE = bytes(64)
_ETHERNET = 6
NO_LINK = bytes(8)
"""Link id of a message that was sent before anything was heard on the link."""


class BadSignature(Exception):
    """A message carries a signature that its key did not make, or not where it must stand."""


class Identity:
    """A host's private key and what follows from it."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key: bytes = private_key.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw
        )
        self.duid: bytes = duid_of(self.public_key)

    @classmethod
    def generate(cls) -> Identity:
        """Return a new random identity."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> Identity:
        """Return the identity kept at ``path`` (32 bytes, mode 0600); made when there is none.

        Raises:
            OSError: the file cannot be read or made.
            ValueError: the file holds something else.
        """
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            identity = cls.generate()
            raw = identity._raw()
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            return identity
        if len(raw) != 32:
            raise ValueError(f"{path}: not a host key (32 bytes expected, {len(raw)} found)")
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    def secret_for(self, purpose: bytes) -> bytes:
        """Return 32 bytes that follow from the key and that nobody else can know."""
        return hmac.digest(self._raw(), _CONTEXT_OF_SECRETS + purpose, "sha256")

    def sign(
        self,
        message: Message,
        source: IPv6Address,
        time: int,
        link_id: bytes = NO_LINK,
        mac: bytes = b"",
    ) -> bytes:
        """Return ``message`` as a datagram that carries our key and a signature.

        Args:
            message: what to send; its On-Demand option, if any, is extended.
            source: the link-local address that it is sent from.
            time: microseconds since 1970.
            link_id: as heard in a router advertisement on this link, or `NO_LINK`.
            mac: the link-layer address that it is sent from; only an Ethernet one is named.
        """
        known = OnDemand.of(message) or OnDemand(())
        signed = OnDemand(
            (
                *known.sub_options,
                *((LinkLayerAddress(mac),) if len(mac) == _ETHERNET else ()),
                PublicKey(self.public_key),
                Signature(time, link_id, _ZERO_SIGNATURE),
            )
        )
        vendor = signed.to_option()
        others = tuple(
            option
            for option in message.options
            if not (isinstance(option, VendorOpts) and option.enterprise == vendor.enterprise)
        )
        datagram = replace(message, options=(*others, vendor)).encode()
        return datagram[:-64] + self._private_key.sign(_CONTEXT + source.packed + datagram)

    def _raw(self) -> bytes:
        return self._private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


class Identities:
    """What a host is known by: an identity for each network domain, all made of one key.

    Two operators cannot find out by them that a host of the one is a host of the other. An empty
    domain id stands for all networks that announce none.
    """

    def __init__(self, key: Identity) -> None:
        self._key = key
        self._known: dict[bytes, Identity] = {}

    def of(self, domain: bytes) -> Identity:
        """Return the identity that a domain knows."""
        if domain not in self._known:
            secret = self._key.secret_for(b"identity " + domain)
            self._known[domain] = Identity(Ed25519PrivateKey.from_private_bytes(secret))
        return self._known[domain]


def duid_of(public_key: bytes) -> bytes:
    """Return the DUID of the holder of ``public_key``: a DUID-UUID (RFC 8415 section 11.5)."""
    return DuidUuid(hashlib.sha256(public_key).digest()[:16]).encode()


def verify(
    datagram: bytes, ondemand: OnDemand | None, source: IPv6Address, key: bytes
) -> Signature | None:
    """Return the signature of ``datagram`` if ``key`` made it, or none if it carries none.

    Args:
        datagram: the message as received.
        ondemand: the On-Demand option decoded from it.
        source: the address that it came from.
        key: the Ed25519 public key that must have signed.

    Raises:
        BadSignature: there is a signature, but it is not the end of the message or not by ``key``.
    """
    signature = ondemand.first(Signature) if ondemand is not None else None
    if signature is None:
        return None
    if not datagram.endswith(signature.signature):
        raise BadSignature("the signature is not the end of the message")
    text = _CONTEXT + source.packed + datagram[:-64] + _ZERO_SIGNATURE
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature.signature, text)
    except (InvalidSignature, ValueError):
        raise BadSignature("the signature does not fit the key") from None
    return signature
