"""What is written into the hooks' tables, as the C structures have it."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest

from moorage.kernel.bpf.fake import FakeObject
from moorage.kernel.hooks import Hooks, Offer, Rights
from moorage.service import ServiceType

ADDRESS = IPv6Address("2001:db8::7")
OFFER = Offer(ADDRESS, 5.0, 60.5, restricted=True, known=False)


@pytest.fixture
def programs() -> FakeObject:
    return FakeObject()


@pytest.fixture
def hooks(programs: FakeObject) -> Hooks:
    return Hooks(programs)


def offered(programs: FakeObject, kind: ServiceType) -> tuple[int, ...]:
    return struct.unpack("=IIIxxxxQQ16x", programs.maps["offers"].values[struct.pack("=I", kind)])


def test_an_offer(hooks: Hooks, programs: FakeObject) -> None:
    hooks.offer(ServiceType.FIXED, OFFER)
    assert offered(programs, ServiceType.FIXED) == (1, 1, 0, 5_000_000_000, 60_500_000_000)
    hooks.offer(ServiceType.FIXED, OFFER)
    assert offered(programs, ServiceType.FIXED)[0] == 2
    hooks.withdraw(ServiceType.FIXED)
    assert offered(programs, ServiceType.FIXED)[0] == 0


def test_an_offer_without_end(hooks: Hooks, programs: FakeObject) -> None:
    hooks.offer(ServiceType.FIXED, Offer(ADDRESS, float("inf"), float("inf"), False, True))
    assert offered(programs, ServiceType.FIXED) == (1, 0, 1, (1 << 63) - 1, (1 << 63) - 1)


def test_when_an_offer_was_taken(hooks: Hooks, programs: FakeObject) -> None:
    assert hooks.last_taken(ServiceType.SESSION_LASTING) == 0.0
    programs.maps["taken"].update(struct.pack("=I", 2), struct.pack("=Q", 2_500_000_000))
    assert hooks.last_taken(ServiceType.SESSION_LASTING) == 2.5
    programs.rings["news"].records += [struct.pack("=I", 2)] * 2
    assert hooks.read() == {ServiceType.SESSION_LASTING}
    assert hooks.read() == set()


def test_users(hooks: Hooks, programs: FakeObject) -> None:
    rights = Rights(
        frozenset({ServiceType.FIXED}), frozenset({ServiceType.FIXED, ServiceType.SESSION_LASTING})
    )
    hooks.allow(None, rights)
    hooks.allow(1000, Rights(frozenset(), frozenset()))
    users = programs.maps["users"].values
    assert users == {
        b"\xff\xff\xff\xff": struct.pack("=II", 0b10, 0b110),
        struct.pack("=I", 1000): bytes(8),
    }
    hooks.allow(1000, None)
    assert list(users) == [b"\xff\xff\xff\xff"]


def test_addresses_and_sockets(hooks: Hooks, programs: FakeObject) -> None:
    hooks.restrict(ADDRESS, ServiceType.GRACEFUL_REPLACEMENT)
    assert programs.maps["restricted"].values == {ADDRESS.packed: struct.pack("=I", 4)}
    assert programs.attached == {"check_bind", "check_connect", "check_send"}
    hooks.restrict(ADDRESS, None)
    assert programs.maps["restricted"].values == {}
    assert programs.attached == set()
    hooks.grant(7 << 32, {ServiceType.FIXED, ServiceType.SESSION_LASTING})
    assert programs.maps["granted"].values == {struct.pack("=Q", 7 << 32): struct.pack("=I", 6)}
    hooks.grant(7 << 32, ())
    assert programs.maps["granted"].values == {}


def test_closing(hooks: Hooks, programs: FakeObject) -> None:
    hooks.close()
    assert programs.closed
