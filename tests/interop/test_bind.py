"""The host's Fixed address in the zone of a BIND server, by dynamic update."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

import dns.message
import dns.query
import dns.rdatatype
import pytest

from moorage.lab import network
from moorage.lab.lab import Lab
from moorage.lab.programs import path_of, server
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene

pytestmark = [pytest.mark.netns, pytest.mark.interop]

ZONE: Final = "example.net"
NAME: Final = f"mn.{ZONE}"
KEY: Final = "mn-key"
SERVER: Final = "2001:db8:c0::2"


@contextmanager
def bind(lab: Lab, secret: str) -> Iterator[None]:
    """Run BIND at the correspondent; whoever has the key may change the host's addresses."""
    node = lab.node("cn")
    folder = network.NODE_FOLDER
    start = f"@ SOA ns.{ZONE}. root.{ZONE}. 1 60 60 3600 60"
    (node.folder / "zone").write_text(f"$TTL 60\n{start}\n@ NS ns.{ZONE}.\nns AAAA {SERVER}\n")
    (node.folder / "named.conf").write_text(
        f"""
        key "{KEY}" {{ algorithm hmac-sha256; secret "{secret}"; }};
        options {{
            directory "{folder}"; pid-file none; session-keyfile none; recursion no;
            listen-on {{ none; }}; listen-on-v6 {{ {SERVER}; }}; allow-new-zones no;
            dnssec-validation no;
        }};
        controls {{ }};
        zone "{ZONE}" {{
            type primary; file "{folder}/zone";
            update-policy {{ grant {KEY} name {NAME} AAAA; }};
        }};
        """
    )
    argv = [path_of("named"), "-g", "-n", "1", "-c", f"{folder}/named.conf"]
    with server(node, argv, "all zones loaded"):
        yield


@pytest.fixture
def secret() -> str:
    """The secret of the host's key."""
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def scene(mark: str, tmp_path: Path, secret: str) -> Iterator[Scene]:
    """A host that publishes, in a network whose correspondent is the DNS server."""
    key = tmp_path / "mn.key"
    key.write_text(secret)
    table = {
        "server": SERVER,
        "zone": ZONE,
        "name": NAME,
        "key_name": KEY,
        "key_file": str(key),
    }
    host = {"at_boot": [], "linger": LINGER, "dns": table}
    with open_scene(tmp_path, host=host, daemons=False) as scene:
        for router in scene.topology.routers:
            scene.lab.daemon(router).start()
        yield scene


def resolved(scene: Scene) -> set[IPv6Address]:
    """What the server says that the name has."""

    def ask() -> set[IPv6Address]:
        answer = dns.query.tcp(dns.message.make_query(NAME, "AAAA"), SERVER, timeout=10)
        return {
            IPv6Address(record.address)
            for records in answer.answer
            if records.rdtype == dns.rdatatype.AAAA
            for record in records
        }

    return scene.lab.node("core").call(ask)


def test_a_fixed_address_is_published(scene: Scene, secret: str) -> None:
    """It is found by name after moves, and after the daemon's restart."""
    with bind(scene.lab, secret):
        scene.lab.daemon("mn").start()
        assert resolved(scene) == set()
        address = scene.setsc(ServiceType.FIXED)
        eventually(lambda: resolved(scene) == {address})
        scene.setsc(ServiceType.SESSION_LASTING)
        scene.move()
        scene.lab.daemon("mn").stop()
        scene.lab.daemon("mn").start()
        assert resolved(scene) == {address}


def test_a_server_that_comes_later_hears_of_it(scene: Scene, secret: str) -> None:
    scene.lab.daemon("mn").start()
    address = scene.setsc(ServiceType.FIXED)
    with bind(scene.lab, secret):
        eventually(lambda: resolved(scene) == {address})


def test_another_key_changes_nothing(scene: Scene, secret: str) -> None:
    """The daemon lives on, and serves its host."""
    with bind(scene.lab, base64.b64encode(bytes(32)).decode()):
        scene.lab.daemon("mn").start()
        with scene.connect(ServiceType.FIXED) as connection:
            assert connection.works()
            assert resolved(scene) == set()
            assert connection.works()
