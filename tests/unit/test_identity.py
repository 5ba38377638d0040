from __future__ import annotations

import hashlib
import stat
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.identity import NO_LINK, BadSignature, Identities, Identity, duid_of, verify
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    DuidUuid,
    IaPd,
    LinkLayerAddress,
    Message,
    MessageType,
    OnDemand,
    PublicKey,
    ServiceTypeOf,
    Signature,
    VendorOpts,
    decode_duid,
    decode_message,
)
from moorage.wire.errors import WireError

SOURCE = IPv6Address("fe80::1234")
LINK = b"link one"
MAC = bytes.fromhex("020000000001")
TIME = 1_700_000_000_000_000


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def datagram(identity: Identity) -> bytes:
    about = OnDemand((ServiceTypeOf(7, ServiceType.FIXED),))
    body = (about.to_option(), ClientId(identity.duid), IaPd(7, 0, 0))
    return identity.sign(Message(MessageType.REBIND, 5, body), SOURCE, TIME, LINK, MAC)


def decoded(data: bytes) -> tuple[Message, OnDemand | None]:
    message = decode_message(data)
    assert isinstance(message, Message)
    return message, OnDemand.of(message)


def checked(data: bytes, key: bytes, source: IPv6Address = SOURCE) -> Signature | None:
    return verify(data, decoded(data)[1], source, key)


def test_duid_is_a_uuid_made_from_the_key(identity: Identity) -> None:
    digest = hashlib.sha256(identity.public_key).digest()
    assert decode_duid(identity.duid) == DuidUuid(digest[:16])
    assert identity.duid == duid_of(identity.public_key)
    assert identity.duid != Identity.generate().duid


def test_signed_message(identity: Identity, datagram: bytes) -> None:
    message, about = decoded(datagram)
    assert about is not None
    assert about.service_type(7) is ServiceType.FIXED
    assert about.first(PublicKey) == PublicKey(identity.public_key)
    assert about.first(LinkLayerAddress) == LinkLayerAddress(MAC)
    assert isinstance(message.options[-1], VendorOpts)
    assert len(message.every(VendorOpts)) == 1
    signature = checked(datagram, identity.public_key)
    assert signature == Signature(TIME, LINK, datagram[-64:])


def test_message_without_our_option(identity: Identity) -> None:
    data = identity.sign(Message(MessageType.SOLICIT, 1), SOURCE, TIME)
    signature = checked(data, identity.public_key)
    assert signature is not None
    assert signature.link_id == NO_LINK


@pytest.mark.parametrize("mac", [b"", bytes(8), bytes(20)])
def test_only_an_ethernet_address_is_named(identity: Identity, mac: bytes) -> None:
    _, about = decoded(identity.sign(Message(MessageType.SOLICIT, 1), SOURCE, TIME, LINK, mac))
    assert about is not None
    assert about.first(LinkLayerAddress) is None


def test_unsigned_message(identity: Identity) -> None:
    plain = Message(MessageType.SOLICIT, 1).encode()
    assert verify(plain, None, SOURCE, identity.public_key) is None
    assert verify(plain, OnDemand(()), SOURCE, identity.public_key) is None


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_no_byte_can_be_changed(identity: Identity, datagram: bytes, flip: int) -> None:
    for position in range(len(datagram)):
        changed = bytearray(datagram)
        changed[position] ^= flip
        data = bytes(changed)
        try:
            signature = checked(data, identity.public_key)
        except (BadSignature, WireError):
            continue
        assert signature is None, f"byte {position}"


def test_no_byte_can_be_added_or_cut(identity: Identity, datagram: bytes) -> None:
    _, about = decoded(datagram)
    for data in (datagram + b"\0", datagram[:-1], datagram[1:], datagram[:-64]):
        with pytest.raises(BadSignature):
            verify(data, about, SOURCE, identity.public_key)


def test_another_source(identity: Identity, datagram: bytes) -> None:
    with pytest.raises(BadSignature):
        checked(datagram, identity.public_key, IPv6Address("fe80::1235"))


def test_another_key(datagram: bytes) -> None:
    with pytest.raises(BadSignature):
        checked(datagram, Identity.generate().public_key)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_what_is_no_key(datagram: bytes, key: bytes) -> None:
    with pytest.raises(BadSignature):
        checked(datagram, key)


def test_kept_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "state" / "host.key"
    first = Identity.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["host.key"]
    assert Identity.load_or_create(path).public_key == first.public_key


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    path.write_bytes(bytes(31))
    with pytest.raises(ValueError, match="not a host key"):
        Identity.load_or_create(path)
    assert path.read_bytes() == bytes(31)


def test_each_network_knows_the_host_by_another_identity(identity: Identity) -> None:
    identities = Identities(identity)
    known = {identities.of(domain).public_key for domain in (b"", b"operator", b"stranger")}
    assert len(known | {identity.public_key}) == 4


def test_identities_follow_from_the_key(identity: Identity) -> None:
    again = Identities(identity).of(b"operator")
    assert Identities(identity).of(b"operator").duid == again.duid
    assert Identities(Identity.generate()).of(b"operator").duid != again.duid
