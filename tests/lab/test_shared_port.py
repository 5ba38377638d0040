"""The host daemon beside another DHCPv6 client that has the client port."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

import moorage
from moorage.lab.lab import Lab
from moorage.wire.dhcp6 import CLIENT_PORT

pytestmark = pytest.mark.netns


@pytest.fixture
def beside(lab: Lab) -> Iterator[Lab]:
    """Return a lab whose host has a client already."""
    with lab.node("mn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::", CLIENT_PORT))
        yield lab


def test_prefixes_are_had_beside_another_client(
    beside: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.start_daemons()
    host = beside.node("mn")
    monkeypatch.setenv("MOORAGE_SOCKET", os.fspath(host.folder / "host.sock"))
    with host.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind((str(moorage.setsc(sock, moorage.ServiceType.FIXED)), 0))
