"""The demo as a user runs it: what it prints, writes, and leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

from moorage.lab import topology
from moorage.lab.render import topology_text
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

DEMO = [sys.executable, "-m", "moorage", "demo"]
ETHERNET_BYTES = 14
FILES = {"capture.pcap", "demo.json", "flows.png", "flows.svg"}


def play(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *arguments], capture_output=True, text=True, check=False)


def report_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return msgspec.json.decode(done.stdout)


def flow(report: Any, name: str) -> Any:
    [found] = [flow for flow in report["flows"] if flow["name"] == name]
    return found


def addresses(report: Any, name: str) -> list[str]:
    return [connection["name"] for connection in flow(report, name)["connections"]]


def frames_of(capture: Path) -> Iterator[bytes]:
    """The frames with IPv6 packets."""
    with RawPcapReader(str(capture)) as frames:
        yield from (frame for frame, _ in frames if frame[12:14] == b"\x86\xdd")


def tunnelled(capture: Path) -> set[tuple[IPv6Address, IPv6Address]]:
    """Outer source and outer destination of all IPv6 packets in IPv6 packets."""
    # Only one frame of each kind is worth the time that dissecting takes.
    kinds = {frame[20:54]: frame for frame in frames_of(capture)}
    packets = [Ether(frame)[IPv6] for frame in kinds.values()]
    return {
        (IPv6Address(packet.src), IPv6Address(packet.dst))
        for packet in packets
        if isinstance(packet.payload, IPv6)
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo is to put its files."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def report(folder: Path) -> Any:
    """What the demo has said without any wishes."""
    with nothing_left_behind():
        return report_of(play("--json", "--output", str(folder)))


def test_message_flow_is_as_the_draft_says(report: Any) -> None:
    assert [step["number"] for step in report["steps"]] == list(range(1, 17))
    assert all(step["passed"] for step in report["steps"])
    assert report["passed"]
    # Those of the table are what the flows are about.
    assert addresses(report, "app 1") == ["IPnp1", "IPnp2"]
    assert addresses(report, "app 2") == ["IPnp1", "IPnp2"]
    assert addresses(report, "app 3") == ["IPsl1"]
    assert addresses(report, "app 4") == ["IPsl1"]
    assert flow(report, "app 1")["connections"][0]["error"] == "ECONNABORTED"
    assert [refusal["eai"] for refusal in flow(report, "app 4")["refusals"]] == [-180]
    assert [stall["move"] for stall in flow(report, "app 3")["interruptions"]] == [1]


def test_report_has_picture_capture_and_values(folder: Path, report: Any) -> None:
    assert {file.name for file in folder.iterdir()} == FILES
    assert msgspec.json.decode((folder / "demo.json").read_bytes()) == report
    assert (folder / "flows.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "<svg" in (folder / "flows.svg").read_text()
    plain = topology.load("two-routers").routers
    found = tunnelled(folder / "capture.pcap")
    assert (plain["ar1"].core.address, plain["ar2"].down_sid) in found
    assert (plain["ar2"].core.address, plain["ar1"].up_sid) in found


def test_moves_on_at_random(tmp_path: Path) -> None:
    arguments = ("--topology", "three-routers", "--soft", "--moves", "3", "--seed", "7")
    report = report_of(play("--json", "--output", str(tmp_path), *arguments))
    assert len(report["steps"]) == 17
    assert len(report["moves"]) == 4
    routers = [move["router"] for move in report["moves"]]
    assert all(one != other for one, other in pairwise(routers))
    assert addresses(report, "app 3") == ["IPsl1"]
    counts = {service: one["count"] for service, one in report["distributions"].items()}
    # Two applications saw all moves; of the Session-lasting ones the other began after the first.
    assert counts == {"non-persistent": 8, "session-lasting": 7}
    assert all(sum(one["histogram"]) == one["count"] for one in report["distributions"].values())


def test_delayed_core_gets_packets_in_packets_that_fit(tmp_path: Path) -> None:
    report = report_of(play("--json", "--output", str(tmp_path), "--delay"))
    assert report["topology"] == "two-routers-delay"
    core = topology.load("two-routers-delay").routers["ar1"].core
    sizes = [
        len(frame) - ETHERNET_BYTES
        for frame in frames_of(tmp_path / "capture.pcap")
        if frame[20] == socket.IPPROTO_IPV6
    ]
    # The backlog of the time without a link is in one big segment, which its sender left uncut.
    assert 0 < max(sizes) <= core.mtu


def test_network_without_the_type_fails_the_demo(tmp_path: Path) -> None:
    plain = topology.load("two-routers")
    settings = {"offered": ["non-persistent"], "default_type": "non-persistent"}
    routers = {
        name: msgspec.structs.replace(router, settings=settings)
        for name, router in plain.routers.items()
    }
    file = tmp_path / "poor.toml"
    file.write_text(topology_text(msgspec.structs.replace(plain, routers=routers)))
    done = play("--topology", str(file), "--output", str(tmp_path / "report"))
    assert done.returncode == 1, done.stderr
    failed = {int(number) for number in re.findall(r"^✗ +(\d+)", done.stdout, re.MULTILINE)}
    assert failed == {2, 8, 12, 15, 16}
    assert "expected" in done.stdout
    assert {file.name for file in (tmp_path / "report").iterdir()} == FILES


def test_unsuitable_topology_is_one_line(tmp_path: Path) -> None:
    plain = topology.load("two-routers")
    lonely = msgspec.structs.replace(plain, routers={"ar1": plain.routers["ar1"]})
    file = tmp_path / "lonely.toml"
    file.write_text(topology_text(lonely))
    done = play("--topology", str(file), "--output", str(tmp_path / "report"))
    assert done.returncode == 1
    assert done.stderr == "Error: a demo needs one host, two access routers and a correspondent\n"
    assert not (tmp_path / "report").exists()


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "report"
    with subprocess.Popen(
        [*DEMO, "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("✓  8"):
                break
        # As a terminal does it: to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        process.stdout.read()
    assert process.returncode == 1
    assert said.strip() == "Aborted!"
    assert not output.exists()
