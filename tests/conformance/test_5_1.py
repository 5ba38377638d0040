"""Draft section 5.1: applications where the host or the network does not know the service."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

import moorage
from moorage.lab.network import ACCESS
from moorage.lab.programs import server
from moorage.service import ServiceType
from moorage.wire.nd import PrefixInformation, RouterAdvertisement
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import DELEGATED, PATIENCE, Scene, eventually

pytestmark = pytest.mark.netns

LIFETIME = 1800
ALL_NODES = "ff02::1"


@pytest.fixture(scope="module")
def without_service(stage: Stage) -> Iterator[Scene]:
    """A host with the daemon, and a network whose router sends ordinary advertisements."""
    settings = {"linger": LINGER, "support_wait": 0.2, "at_boot": []}
    with stage(host=settings, daemons=False) as scene:
        if scene.served:
            scene.lab.daemon("mn").start()
        advertise_plainly(scene)
        eventually(scene.ordinary)
        yield scene


def advertise_plainly(scene: Scene) -> None:
    """Let the router here advertise itself and a prefix, as any IPv6 router does."""
    advertisement = RouterAdvertisement(
        hop_limit=64,
        managed=False,
        other=False,
        router_lifetime=LIFETIME,
        reachable_time=0,
        retrans_timer=0,
        options=(
            PrefixInformation(
                prefix=scene.slaac_prefix(scene.here),
                on_link=True,
                autonomous=True,
                valid=LIFETIME,
                preferred=LIFETIME,
            ),
        ),
    )
    router = scene.lab.node(scene.here)
    index = router.call(socket.if_nametoindex, ACCESS)
    with router.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.sendto(advertisement.encode(), (ALL_NODES, 0, 0, index))


@pytest.mark.parametrize("service", ServiceType)
def test_a_host_with_the_stack_or_without(scene: Scene, service: ServiceType) -> None:
    """5.1-b: the same socket connects: with an address, or after an error code without one."""
    with scene.connect(service) as connection:
        assert scene.type_of(connection.source) is scene.granted(service)
        assert connection.works()


@pytest.mark.parametrize("service", DELEGATED)
def test_a_network_without_the_service(without_service: Scene, service: ServiceType) -> None:
    """5.1-b: in an ordinary network the call returns an error; the same socket connects without."""

    def prepare(near: socket.socket) -> None:
        with pytest.raises(moorage.RequiredIPNotSupported) as caught:
            moorage.setsc(near, service)
        assert caught.value.errno == moorage.EAI_REQUIREDIPNOTSUPPORTED

    with without_service.connect_plainly(prepare) as connection:
        assert connection.source in without_service.ordinary()
        assert connection.works()


def test_what_an_ordinary_network_gives_is_non_persistent(without_service: Scene) -> None:
    """5.1-b: an application that asks for no continuity is served by an ordinary network, too."""
    with without_service.connect(ServiceType.NON_PERSISTENT) as connection:
        assert connection.source in without_service.ordinary()
        assert connection.works()


REPORT_SOURCE = """\
from http.server import BaseHTTPRequestHandler, HTTPServer
import socket, sys

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

class Server(HTTPServer):
    address_family = socket.AF_INET6

server = Server((sys.argv[1], 80), Handler)
print("ready", file=sys.stderr, flush=True)
server.serve_forever()
"""
ASK_BY_PYTHON = """\
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode())
"""


@pytest.mark.parametrize(
    "program", [["curl", "--silent", "--globoff"], [sys.executable, "-c", ASK_BY_PYTHON]]
)
def test_legacy_programs_work_unchanged(scene: Scene, program: list[str]) -> None:
    """5.1-a: programs that do not know the API run, from the address that they always had."""
    url = f"http://[{scene.destination}]/"
    argv = [sys.executable, "-c", REPORT_SOURCE, str(scene.destination)]
    with server(scene.peer, argv, "ready"):
        [ordinary] = scene.ordinary()
        assert bool(scene.typed()) is scene.served
        assert scene.host.run([*program, url], timeout=PATIENCE).stdout.strip() == str(ordinary)
