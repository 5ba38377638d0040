"""What a message proves about its sender, and what it may do with a binding."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from moorage.identity import NO_LINK, Identity
from moorage.router.authority import CLOCK_TOLERANCE, Claim, Proof, Rejected, claim, examine
from moorage.store.model import Binding
from moorage.wire.dhcp6 import (
    ClientId,
    Message,
    MessageType,
    OnDemand,
    PublicKey,
    Signature,
    decode_message,
)
from tests.domain import START, Client, ia, two_routers

HOST = IPv6Address("fe80::1")
LINK = b"thislink"
NOW = round(START * 1_000_000)


def stand(datagram: bytes, source: IPv6Address = HOST) -> Proof | Rejected | None:
    message = decode_message(datagram)
    assert isinstance(message, Message)
    return examine(datagram, message, OnDemand.of(message), source, LINK, START)


def signed(identity: Identity, time: int = NOW, link_id: bytes = LINK) -> bytes:
    message = Message(MessageType.SOLICIT, 7, (ClientId(identity.duid), ia(1)))
    return identity.sign(message, HOST, time, link_id)


@pytest.mark.parametrize("link_id", [LINK, NO_LINK])
@pytest.mark.parametrize("off", [0, CLOCK_TOLERANCE, -CLOCK_TOLERANCE])
def test_a_signature_proves_key_and_time(link_id: bytes, off: int) -> None:
    identity = Identity.generate()
    proof = Proof(identity.public_key, NOW + off, names_link=link_id == LINK)
    assert stand(signed(identity, NOW + off, link_id)) == proof


def test_a_signature_proves_a_link_layer_address() -> None:
    identity, mac = Identity.generate(), bytes.fromhex("020000000001")
    message = Message(MessageType.SOLICIT, 7, (ClientId(identity.duid), ia(1)))
    datagram = identity.sign(message, HOST, NOW, LINK, mac)
    assert stand(datagram) == Proof(identity.public_key, NOW, True, mac)
    where = datagram.index(mac)
    changed = datagram[:where] + bytes.fromhex("020000000002") + datagram[where + 6 :]
    assert isinstance(stand(changed), Rejected)


def test_an_unsigned_message_proves_nothing() -> None:
    message = Message(MessageType.SOLICIT, 7, (ClientId(b"\x00\x03abc"), ia(1)))
    assert stand(message.encode()) is None


def test_a_message_is_bound_to_source_link_and_time() -> None:
    identity = Identity.generate()
    assert isinstance(stand(signed(identity), IPv6Address("fe80::2")), Rejected)
    assert isinstance(stand(signed(identity, link_id=b"thatlink")), Rejected)
    assert isinstance(stand(signed(identity, NOW + CLOCK_TOLERANCE + 1)), Rejected)
    assert isinstance(stand(signed(identity, NOW - CLOCK_TOLERANCE - 1)), Rejected)


def test_every_changed_bit_spoils_the_signature() -> None:
    datagram = signed(Identity.generate())
    # The transaction id, the DUID, the IAID, the time, the signature itself.
    for position in (3, 12, 30, len(datagram) - 80, len(datagram) - 1):
        changed = bytearray(datagram)
        changed[position] ^= 1
        assert not isinstance(stand(bytes(changed)), Proof)


def test_a_key_speaks_for_its_own_duid_only() -> None:
    identity, victim = Identity.generate(), Identity.generate()
    message = Message(MessageType.SOLICIT, 7, (ClientId(victim.duid), ia(1)))
    assert isinstance(stand(identity.sign(message, HOST, NOW, LINK)), Rejected)


@pytest.mark.parametrize(
    "part", [PublicKey(bytes(32)), Signature(NOW, LINK, bytes(64))], ids=["key", "signature"]
)
def test_key_and_signature_come_together(part: PublicKey | Signature) -> None:
    options = (ClientId(b"\x00\x03abc"), OnDemand((part,)).to_option())
    assert isinstance(stand(Message(MessageType.SOLICIT, 7, options).encode()), Rejected)


async def binding() -> Binding:
    domain = two_routers()
    await Client(domain.clock).solicit(domain.sites[0], None)
    return await domain.binding()


async def test_a_binding_obeys_its_key_and_later_times_only() -> None:
    keyed = await binding()
    assert keyed.key is not None
    good = Proof(keyed.key, keyed.last_time + 1, True)
    assert claim(keyed, good) is Claim.GOOD
    assert claim(keyed, Proof(keyed.key, keyed.last_time, True)) is Claim.REPEATED
    assert claim(keyed, Proof(keyed.key, keyed.last_time - 1, True)) is Claim.STALE
    assert claim(keyed, Proof(bytes(32), keyed.last_time + 1, True)) is Claim.FOREIGN
    assert claim(keyed, None) is Claim.FOREIGN
    assert claim(replace(keyed, key=None), None) is Claim.GOOD
    assert claim(replace(keyed, key=None), good) is Claim.GOOD
