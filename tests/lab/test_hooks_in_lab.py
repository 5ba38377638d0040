"""A host daemon that may not have hooks does without, and says what is missing."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage.lab.network import NODE_FOLDER
from moorage.service import ServiceType
from tests.conformance.scene import Scene, eventually, open_scene
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.interop]

OPTION = (socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES)
LESS_RIGHTS = [
    "setpriv",
    "--bounding-set=-sys_admin,-bpf,-perfmon",
    sys.executable,
    "-m",
    "moorage",
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with nothing_left_behind(), open_scene(tmp_path_factory.mktemp("store")) as scene:
        eventually(scene.typed)
        scene.lab.daemon("mn").stop()
        yield scene


def given(scene: Scene) -> IPv6Address | None:
    with suppress(moorage.SetscError), scene.new_socket() as sock:
        return moorage.setsc(sock, ServiceType.SESSION_LASTING)
    return None


def test_the_daemon_is_asked(scene: Scene) -> None:
    config = str(Path(NODE_FOLDER) / "host.toml")
    with scene.host.popen([*LESS_RIGHTS, "host", "--config", config]) as daemon:
        try:
            address = eventually(lambda: given(scene))
            with scene.new_socket() as sock:
                sock.setsockopt(*OPTION, moorage.IPV6_REQUIRE_SRC_ON_NET)
                assert not sock.getsockopt(*OPTION) & moorage.IPV6_REQUIRE_SRC_ON_NET
                assert len(sock.getsockopt(*OPTION, 34)) == 4
            with scene.connect(ServiceType.SESSION_LASTING) as connection:
                assert connection.source == address
                scene.move()
                assert connection.works()
        finally:
            daemon.terminate()


def test_doctor_says_what_is_missing(scene: Scene) -> None:
    found = scene.host.run([*LESS_RIGHTS, "doctor"], check=False).stdout
    [line] = [line for line in found.splitlines() if "BPF hooks on control groups" in line]
    assert "no right to load BPF programs" in found[found.index(line) :]
