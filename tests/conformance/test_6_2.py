"""Draft section 6.2: IPV6_REQUIRE_SRC_ON_NET, by keyword and as the socket option."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, Message, MessageType, OnDemand
from tests.conformance.scene import PREFERENCES, Scene, eventually
from tests.native.workshop import Library

pytestmark = pytest.mark.netns

SOLICIT = MessageType.SOLICIT
LASTING, ORDINARY = ServiceType.SESSION_LASTING, ServiceType.NON_PERSISTENT
TYPES = pytest.mark.parametrize("service", ServiceType)


@pytest.fixture(autouse=True)
def _calm(scene: Scene) -> None:
    """Let go of what earlier tests used."""
    eventually(lambda: len([x for x in scene.bindings() if x.type is not ServiceType.FIXED]) <= 1)


def asked_type(solicit: Message) -> ServiceType | None:
    """The type of the one prefix that a message asks for."""
    [association] = solicit.every(IaPd)
    said = OnDemand.of(solicit)
    return None if said is None else said.service_type(association.iaid)


@TYPES
def test_set_a_new_prefix_is_requested_although_there_is_one(
    scene: Scene, service: ServiceType
) -> None:
    """6.2-a: set, a prefix is requested each time, of the type, and an address of it configured."""
    with scene.connect(service) as before, scene.connect(service, on_net=True) as first:
        tap = scene.tap()
        with scene.connect(service, on_net=True) as second:
            asked = [asked_type(solicit) for solicit in tap.messages(SOLICIT)]
            sources = {before.source, first.source, second.source}
            assert (len(asked), len(sources)) == ((1, 3) if scene.served else (0, 1))
            assert set(asked) <= {service}
            assert sources <= scene.addresses().keys()
            assert scene.type_of(second.source) is scene.granted(service)
            assert second.works()


@TYPES
def test_set_the_prefix_is_of_the_current_serving_network(
    scene: Scene, service: ServiceType
) -> None:
    """6.2-a: after a move the new prefix is of the router that serves the host now."""
    router = scene.move()
    with scene.connect(service, on_net=True) as connection:
        current = scene.pool(router) if scene.served else scene.slaac_prefix(router)
        assert connection.source in current
        assert [binding.anchor for binding in scene.bindings_of(connection.source)] == (
            [router] if scene.served else []
        )
        assert connection.works()


@TYPES
def test_reset_the_configured_address_is_used(scene: Scene, service: ServiceType) -> None:
    """6.2-b: reset, nothing is requested where an address of the type is configured."""
    with scene.connect(service) as first:
        tap = scene.tap()
        with scene.connect(service) as second:
            assert second.source == first.source
        assert tap.messages(SOLICIT) == []


def test_reset_a_prefix_is_requested_where_none_is(bare: Scene) -> None:
    """6.2-b: reset, a prefix of the type is requested where no address of it is configured."""
    tap = bare.tap()
    with bare.connect(LASTING) as connection:
        asked = [asked_type(solicit) for solicit in tap.messages(SOLICIT)]
        assert asked == ([LASTING] if bare.served else [])
        assert bare.type_of(connection.source) is bare.granted(LASTING)


@pytest.mark.interop
@pytest.mark.parametrize("language", ["python", "c"])
def test_the_flag_of_a_socket(scene: Scene, language: str, library: Library) -> None:
    """6.2-a, 6.2-b: ``setsc()`` does what the option of the socket says, where that is kept."""
    setsc = moorage.setsc if language == "python" else library.setsc
    with scene.new_socket() as sock:
        configured = scene.ask(sock, LASTING, setsc=setsc)
        tap = scene.tap()
        sock.setsockopt(*PREFERENCES, moorage.IPV6_REQUIRE_SRC_ON_NET)
        new = scene.ask(sock, LASTING, setsc=setsc)
        assert len(tap.messages(SOLICIT)) == int(scene.hooked)
        assert (new != configured) is scene.hooked
        sock.setsockopt(*PREFERENCES, 0)
        assert scene.ask(sock, LASTING, setsc=setsc) in (configured, new)
        assert tap.messages(SOLICIT) == []


_PROGRAM = """
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    int flags = 0x1000 | 0x4000 | 0x0002, found = 0;
    socklen_t length = sizeof found;
    int s = socket(AF_INET6, SOCK_DGRAM, 0);

    if (setsockopt(s, IPPROTO_IPV6, 72, &flags, sizeof flags) != 0 || (s = dup(s)) < 0)
        return 1;
    if (getsockopt(s, IPPROTO_IPV6, 72, &found, &length) != 0 || length != sizeof found)
        return 2;
    printf("%#x", found);
    return 0;
}
"""


@pytest.mark.interop
def test_plain_setsockopt_in_c(scene: Scene, tmp_path: Path) -> None:
    """3.5-e, 6.2-a: a C program that knows nothing of the service sets flag and type, and reads."""
    source, program = tmp_path / "plain.c", tmp_path / "plain"
    source.write_text(_PROGRAM)
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", program, source], check=True)
    assert scene.host.run([str(program)]).stdout == ("0x5402" if scene.hooked else "0x402")


def test_non_persistent_goes_with_the_network_whoever_made_its_address(scene: Scene) -> None:
    """6.2-a: a new Non-persistent address holds no longer than the ordinary one: until a move."""
    with scene.connect(ORDINARY, on_net=True) as connection:
        scene.move()
        if scene.served:
            with pytest.raises(ConnectionAbortedError):
                connection.near.recv(1)
        eventually(lambda: connection.source not in scene.addresses())
