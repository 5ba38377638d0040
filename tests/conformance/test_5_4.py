"""Draft section 5.4: the flags of RFC 5014 beside ``setsc()``, with addresses of both kinds."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.kernel import sysctl
from moorage.kernel.addresses import AddressFlags
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import PATIENCE, PREFERENCES, Scene, eventually

pytestmark = pytest.mark.netns

TEMPORARY, PUBLIC = 0x0001, 0x0002
FLAGS = pytest.mark.parametrize("flag", [TEMPORARY, PUBLIC], ids=["temporary", "public"])
KINDS = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
TYPES = pytest.mark.parametrize("service", ServiceType)


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """A lab whose host has a temporary address (RFC 8981) beside its public one."""
    with stage(host={"linger": LINGER}) as scene:
        scene.host.call(sysctl.write, "net/ipv6/conf/wl0/use_tempaddr", "1")
        scene.move()
        eventually(lambda: ordinary(scene, TEMPORARY) and ordinary(scene, PUBLIC))
        eventually(scene.booted)
        yield scene


def ordinary(scene: Scene, flag: int) -> set[IPv6Address]:
    """The addresses that comply with a flag."""
    return {
        address
        for address, found in scene.addresses().items()
        if found.autoconfigured
        and bool(found.flags & AddressFlags.TEMPORARY) == (flag == TEMPORARY)
    }


@contextmanager
def ignoring_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", moorage.AddressPreferencesWarning)
        yield


def source(
    scene: Scene, kind: socket.SocketKind, prepare: Callable[[socket.socket], object]
) -> IPv6Address:
    """The source of a new socket's traffic, as the correspondent sees it."""
    with scene.peer.socket(socket.AF_INET6, kind) as far, scene.new_socket(kind) as near:
        for end in (far, near):
            end.settimeout(PATIENCE)
        far.bind((str(scene.destination), 0))
        prepare(near)
        if kind is socket.SOCK_STREAM:
            far.listen()
            near.connect(far.getsockname()[:2])
            accepted, sender = far.accept()
            accepted.close()
        else:
            near.sendto(b"ahoy", far.getsockname()[:2])
            _, sender = far.recvfrom(100)
        return IPv6Address(sender[0])


@FLAGS
def test_flags_choose_among_ordinary_addresses(scene: Scene, flag: int) -> None:
    """5.4-c: what the flags call for is there to be seen: a socket without ``setsc()`` gets it."""

    def prepare(near: socket.socket) -> None:
        near.setsockopt(*PREFERENCES, flag)

    assert source(scene, socket.SOCK_STREAM, prepare) in ordinary(scene, flag)


@FLAGS
def test_setsc_beside_flags_warns_once(scene: Scene, flag: int) -> None:
    """5.4-a: ``setsc()`` for a socket with such flags warns, once; it fulfils the request."""
    with scene.new_socket() as near:
        near.setsockopt(*PREFERENCES, flag)
        with pytest.warns(moorage.AddressPreferencesWarning):
            address = scene.ask(near, ServiceType.SESSION_LASTING)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert scene.ask(near, ServiceType.SESSION_LASTING) == address


@TYPES
def test_setsc_without_flags_does_not_warn(scene: Scene, service: ServiceType) -> None:
    """5.4-a: an application that sets no such flags is not warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with scene.new_socket() as near:
            scene.ask(near, service)


@FLAGS
@KINDS
@TYPES
@pytest.mark.parametrize("late", [False, True], ids=["flags first", "flags last"])
def test_the_bound_address_wins(
    scene: Scene, service: ServiceType, kind: socket.SocketKind, flag: int, late: bool
) -> None:
    """5.4-b: flags, ``setsc()`` and bind(), in any order: the source is that of ``setsc()``.

    Where that gave none, it complies with the flags.
    """
    given: list[IPv6Address | None] = []

    def prepare(near: socket.socket) -> None:
        if not late:
            near.setsockopt(*PREFERENCES, flag)
        with ignoring_warnings():
            address = scene.ask(near, service)
        given.append(address)
        if address is not None:
            near.bind((str(address), 0))
        if late:
            near.setsockopt(*PREFERENCES, flag)

    found = source(scene, kind, prepare)
    [answer] = given
    assert found in (ordinary(scene, flag) if answer is None else {answer})


@FLAGS
@KINDS
@TYPES
def test_without_bind_the_flags_rule(
    scene: Scene, service: ServiceType, kind: socket.SocketKind, flag: int
) -> None:
    """5.4-c: ``setsc()`` without bind(): the source complies with the flags."""

    def prepare(near: socket.socket) -> None:
        near.setsockopt(*PREFERENCES, flag)
        with ignoring_warnings():
            scene.ask(near, service)

    assert source(scene, kind, prepare) in ordinary(scene, flag)
