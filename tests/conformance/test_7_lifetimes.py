"""Draft section 7: addresses change regularly, by time and by bytes."""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from typing import Any

import pytest

import moorage
from moorage.kernel.send_quotas import TABLE
from moorage.lab.lab import Lab
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import Connection, Scene, eventually

pytestmark = pytest.mark.netns

SECONDS = 1
BYTES = 200_000
CHANGING = [ServiceType.FIXED, ServiceType.SESSION_LASTING]


def limits(**limit: int) -> dict[str, Any]:
    """The host's configuration in which every type has this lifetime."""
    lifetimes = {service.slug: {"seconds": 0, **limit} for service in ServiceType}
    return {"linger": LINGER, "at_boot": [], "lifetimes": lifetimes}


@pytest.fixture(scope="module")
def by_time(stage: Stage) -> Iterator[Scene]:
    """A lab where the lifetime of every address is a second."""
    with stage(host=limits(seconds=SECONDS)) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture(scope="module")
def by_bytes(stage: Stage) -> Iterator[Scene]:
    """A lab where only so many bytes may be sent from every address."""
    with stage(host=limits(bytes=BYTES)) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture
def scene(by_time: Scene) -> Scene:
    return by_time


def another(scene: Scene, service: ServiceType, old: IPv6Address) -> IPv6Address:
    """The first answer to ``setsc()`` that is not ``old``."""

    def ask() -> IPv6Address | None:
        address = scene.setsc(service)
        return None if address == old else address

    found = eventually(ask)
    assert found is not None
    return found


def send(connection: Connection, size: int) -> None:
    """Send so many bytes up, and have them read."""
    sent = 0
    while sent < size:
        sent += connection.near.send(bytes(65536))
        while select.select([connection.far], [], [], 0)[0]:
            connection.far.recv(1 << 20)


def drain(connection: Connection) -> None:
    """Read what was sent up and has not been read."""
    connection.near.sendall(b"the end")
    tail = b""
    while not tail.endswith(b"the end"):
        tail = (tail + connection.far.recv(1 << 20))[-7:]


# ---- by time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("service", CHANGING, ids=lambda service: service.slug)
def test_a_request_gets_a_new_address_after_some_time(scene: Scene, service: ServiceType) -> None:
    """7-e, 7-d: after its lifetime a request gets a new address; the old one's sockets keep it.

    Ordinary addresses are nobody's to change.
    """
    with scene.connect(service) as connection:
        old = connection.source
        if not scene.served:
            with scene.connect(service) as later:
                assert later.source == old
            return
        new = another(scene, service, old)
        assert scene.binding(new).type is service
        assert old in scene.typed()
        assert connection.works()
        scene.move()
        assert connection.works()
    eventually(lambda: not scene.binding(old).held)


def test_an_application_limits_the_lifetime_of_its_address(scene: Scene) -> None:
    """7-d: it names a lifetime; then its next socket gets another address, the old one lives on."""
    if not scene.served:
        with scene.new_socket() as sock, pytest.raises(moorage.RequiredIPNotSupported):
            moorage.setsc(sock, ServiceType.SESSION_LASTING, lifetime=1)
        return

    def ask() -> tuple[socket.socket, IPv6Address]:
        sock = scene.new_socket(socket.SOCK_DGRAM)
        address = moorage.setsc(sock, ServiceType.SESSION_LASTING, lifetime=1)
        sock.bind((str(address), 0))
        return sock, address

    first, old = ask()
    with first:
        shared, same = ask()
        shared.close()
        assert same == old
        assert scene.setsc(ServiceType.SESSION_LASTING) != old

        def changed() -> bool:
            sock, address = ask()
            sock.close()
            return address != old

        eventually(changed)
        assert old in scene.typed()
        first.sendto(b"still there", (str(scene.destination), 9))


def test_graceful_replacement_is_renewed_without_a_request(scene: Scene) -> None:
    """7-f: one that is in use is replaced after its lifetime: there is a new one, unasked for."""
    with scene.connect(ServiceType.GRACEFUL_REPLACEMENT) as connection:
        old = connection.source

        def successors() -> set[IPv6Address]:
            held = scene.of_type(ServiceType.GRACEFUL_REPLACEMENT)
            return {
                address
                for address in scene.typed() - {old}
                if any(address in binding.prefix for binding in held)
            }

        new = eventually(successors)
        assert scene.setsc(ServiceType.GRACEFUL_REPLACEMENT) != old
        assert new
        assert connection.works()


def test_non_persistent_is_renewed(scene: Scene) -> None:
    """7-f: after its lifetime a request gets another address of the prefix that is advertised."""
    prefix = scene.slaac_prefix(scene.here)
    [kernels] = scene.ordinary()
    with scene.connect(ServiceType.NON_PERSISTENT) as connection:
        first = connection.source
        assert first in prefix
        new = another(scene, ServiceType.NON_PERSISTENT, first)
        assert new in prefix
        assert new != kernels
        found = scene.addresses()[new]
        assert (found.preferred, found.deprecated, found.protocol) == (0, True, 0x6D)
        assert found.valid is not None
        kernel_valid = scene.addresses()[kernels].valid
        assert kernel_valid is not None
        assert found.valid <= kernel_valid
        assert connection.works()
        with scene.connect(ServiceType.NON_PERSISTENT) as other, scene.connect_plainly() as legacy:
            assert other.works()
            assert legacy.source == kernels
    unused = {first, new} - {kernels}
    eventually(lambda: not unused & scene.addresses().keys())


def test_a_renewed_non_persistent_address_goes_with_its_gateway(scene: Scene) -> None:
    """7-f, 3.2-c: an address of our own from the old gateway's prefix is gone after a move."""
    old = another(scene, ServiceType.NON_PERSISTENT, next(iter(scene.ordinary())))
    scene.move()
    assert scene.setsc(ServiceType.NON_PERSISTENT) in scene.slaac_prefix(scene.here)
    eventually(lambda: old not in scene.addresses())


def test_a_renewed_non_persistent_address_survives_the_daemon(scene: Scene) -> None:
    """7-f, 5.2-a: a socket keeps an address of our own when the daemon starts anew."""
    another(scene, ServiceType.NON_PERSISTENT, next(iter(scene.ordinary())))
    with scene.connect(ServiceType.NON_PERSISTENT) as connection:
        if connection.source in scene.ordinary():
            pytest.fail("the kernel's address was given although its lifetime is over")
        daemon = scene.lab.daemon("mn")
        daemon.kill()
        daemon.start()
        eventually(scene.settled)
        assert scene.setsc(ServiceType.NON_PERSISTENT) != connection.source
        assert connection.works()
        old = connection.source
    eventually(lambda: old not in scene.addresses())


# ---- by bytes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ServiceType, ids=lambda service: service.slug)
def test_a_request_gets_a_new_address_after_some_bytes(
    by_bytes: Scene, service: ServiceType
) -> None:
    """7-e: when so many bytes were sent from an address, a request gets a new one."""
    with by_bytes.connect(service) as connection:
        old = connection.source
        send(connection, BYTES // 4)
        drain(connection)
        assert by_bytes.setsc(service) == old
        send(connection, BYTES)
        drain(connection)
        assert another(by_bytes, service, old)
        assert connection.works()


def test_the_count_is_made_again_when_somebody_flushes_it(by_bytes: Scene) -> None:
    """7-e: bytes are counted on although somebody flushed all of nftables."""
    nft = _nft(by_bytes.lab)
    with by_bytes.connect(ServiceType.SESSION_LASTING) as connection:
        old = connection.source
        nft("flush", "ruleset")
        eventually(lambda: old.packed.hex() in nft("list", "ruleset"))
        send(connection, 2 * BYTES)
        drain(connection)
        assert another(by_bytes, ServiceType.SESSION_LASTING, old)


def test_nothing_counts_without_the_daemon(by_bytes: Scene) -> None:
    """7-e: a daemon that ends takes its count away, and goes on with it in its next life."""
    nft = _nft(by_bytes.lab)
    with by_bytes.connect(ServiceType.SESSION_LASTING) as connection:
        old = connection.source
        send(connection, BYTES // 2)
        drain(connection)
        daemon = by_bytes.lab.daemon("mn")
        daemon.stop()
        assert TABLE not in nft("list", "ruleset")
        daemon.start()
        eventually(by_bytes.settled)
        assert by_bytes.setsc(ServiceType.SESSION_LASTING) == old
        send(connection, BYTES // 2)
        drain(connection)
        assert another(by_bytes, ServiceType.SESSION_LASTING, old)


def _nft(lab: Lab) -> Callable[..., str]:
    """The nft program in the host's namespace."""

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["nft", *arguments], check=True, capture_output=True, text=True
        ).stdout

    return lambda *arguments: lab.node("mn").call(run, *arguments)
