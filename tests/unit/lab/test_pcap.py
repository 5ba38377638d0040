from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import rdpcap

from moorage.kernel.monitor import Group, LinkChanged, NetlinkMonitor
from moorage.lab.namespaces import NEW_NETWORK, current, inside, unshare
from moorage.lab.pcap import Capture, PcapWriter, capture_socket

EXPERIMENTAL = 0x88B5  # ethertype for local experiments: nobody else's frames

FRAME = bytes.fromhex(
    "020000000002"  # destination
    "020000000001"  # source
    "88b5"  # ethertype
    "6d6f6f72616765"  # "moorage"
)


def test_golden() -> None:
    file = BytesIO()
    PcapWriter(file).write(1_700_000_000_123_456_789, FRAME)
    assert (
        file.getvalue()
        == bytes.fromhex(
            "4d3cb2a1"  # magic of nanoseconds, little endian
            "0200"  # version 2
            "0400"  # version .4
            "00000000"  # time zone
            "00000000"  # accuracy
            "00000400"  # snap length 262144
            "01000000"  # link type Ethernet
            "00f15365"  # 1700000000 s
            "15cd5b07"  # 123456789 ns
            "15000000"  # 21 bytes in the file
            "15000000"  # 21 bytes of the frame
        )
        + FRAME
    )


def test_scapy_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "two.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        writer.write(1_700_000_000_000_000_001, FRAME)
        writer.write(1_700_000_000_000_000_002, FRAME * 2)
    first, second = rdpcap(str(path))
    assert (bytes(first), bytes(second)) == (FRAME, FRAME * 2)
    assert (str(first.time), str(second.time)) == (
        "1700000000.000000001",
        "1700000000.000000002",
    )


def test_capture_of_nothing_is_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    with Capture(path, []) as capture:
        pass
    assert len(rdpcap(str(path))) == 0
    assert capture.dropped == 0


def test_full_disk_is_reported() -> None:
    with pytest.raises(OSError, match="No space left"), Capture(Path("/dev/full"), []):
        pass


def test_missing_directory_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Capture(tmp_path / "none" / "a.pcap", []):
        pytest.fail("the capture began")


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    """Enter a network namespace with both ends of a cable in it."""
    home = current("net")
    unshare(NEW_NETWORK)
    own = current("net")
    try:
        with inside(own, home):
            ip("link", "add", "left", "type", "veth", "peer", "name", "right")
            with closing(NetlinkMonitor([Group.LINK])) as monitor:
                ip("link", "set", "left", "up")
                ip("link", "set", "right", "up")
                await_carrier(monitor, {"left", "right"})
            yield "left", "right"
    finally:
        os.close(own)
        os.close(home)


def await_carrier(monitor: NetlinkMonitor, without: set[str]) -> None:
    """Return when all of these interfaces have a carrier; until then what is sent is lost."""
    while without:
        assert select.select([monitor], [], [], 10)[0]
        for event in monitor.read():
            if isinstance(event, LinkChanged) and event.link.carrier:
                without.discard(event.link.name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def plug(interface: str) -> socket.socket:
    """Return a socket that sends and receives the frames of this test at ``interface``."""
    plugged = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENTAL))
    plugged.bind((interface, EXPERIMENTAL))
    plugged.settimeout(10)
    return plugged


def ours(path: Path) -> list[Packet]:
    return [packet for packet in rdpcap(str(path)) if packet[Ether].type == EXPERIMENTAL]


@pytest.mark.netns
def test_frames_of_several_interfaces_are_in_order(cable: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "order.pcap"
    frames = [FRAME + bytes([number]) for number in range(100)]
    with (
        plug("left") as left,
        plug("right") as right,
        Capture(path, map(capture_socket, cable)) as capture,
    ):
        for number, frame in enumerate(frames):
            sender, receiver = (left, right) if number % 2 else (right, left)
            sender.send(frame)
            assert receiver.recv(100) == frame
    packets = ours(path)
    assert capture.dropped == 0
    times = [packet.time for packet in packets]
    assert times == sorted(times)
    # Each frame is seen where it leaves and where it arrives, before the next one is sent.
    assert [bytes(packet) for packet in packets] == [frame for frame in frames for _ in cable]


@pytest.mark.netns
def test_frames_from_before_the_start_are_recorded(cable: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "early.pcap"
    with plug("left") as left:
        early = capture_socket("left")
        left.send(FRAME)
        with Capture(path, [early]):
            pass
    assert [bytes(packet) for packet in ours(path)] == [FRAME]
    assert early.fileno() == -1


@pytest.mark.netns
def test_interface_may_go_down_and_up(cable: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "down.pcap"
    with plug("right") as right, Capture(path, [capture_socket("left")]):
        ip("link", "set", "left", "down")
        ip("link", "set", "left", "up")
        with plug("left") as left:
            left.send(FRAME)
            assert right.recv(100) == FRAME
    assert [bytes(packet) for packet in ours(path)] == [FRAME]


@pytest.mark.netns
def test_lost_frames_are_counted(cable: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "lost.pcap"
    with plug("left") as left:
        narrow = capture_socket("left")
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        for _ in range(100):
            left.send(FRAME)
        with Capture(path, [narrow]) as capture:
            pass
    assert capture.dropped > 0
    assert len(ours(path)) + capture.dropped >= 100


@pytest.mark.netns
def test_unknown_interface_is_reported(cable: tuple[str, str]) -> None:
    with pytest.raises(OSError, match="No such device"):
        capture_socket("middle")
