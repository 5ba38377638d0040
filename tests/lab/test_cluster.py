"""A domain whose routers keep their bindings in an etcd cluster, brought up by one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from moorage.lab import topology
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab
from moorage.lab.network import ACCESS, UPLINK
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.store.records import from_lines
from tests.conformance.scene import Scene, eventually
from tests.lab.flows import Flow
from tests.lab.inside import moorage, moorage_json

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

EXAMPLE: Final = "examples/cluster.toml"
PACKAGED: Final = Path("packaging/etcd-member.yml")
HERE: Final = ("--config", "/run/moorage/router.toml")
LASTING: Final = ServiceType.SESSION_LASTING
TLS: Final = (
    *("--cacert", "/run/moorage/tls/ca.pem"),
    *("--cert", "/run/moorage/tls/certificate.pem"),
    *("--key", "/run/moorage/tls/key.pem"),
)


def etcdctl(lab: Lab, *words: str, security: tuple[str, ...] = TLS) -> Any:
    stores = lab.topology().stores.values()
    endpoints = ",".join(f"https://[{store.core.address}]:2379" for store in stores)
    command = ["etcdctl", "--endpoints", endpoints, "--write-out", "json", *security, *words]
    return json.loads(lab.node("ar1").run(["env", "ETCDCTL_API=3", *command]).stdout)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of the example in which nothing runs."""
    with Lab.start(topology.load(Path(EXAMPLE))) as lab:
        yield lab


@pytest.fixture
def members(lab: Lab) -> Lab:
    """The same in which the members of the store run."""
    with ThreadPoolExecutor() as pool:  # each is ready when a majority is there
        [*pool.map(lambda name: lab.daemon(name).start(), lab.topology().stores)]
    return lab


def test_members_form_a_cluster_that_one_of_them_leaves_and_joins_again(members: Lab) -> None:
    status = etcdctl(members, "endpoint", "status")
    leaders = {member["Status"]["leader"] for member in status}
    assert len(status) == 3
    assert len(leaders) == 1
    members.daemon("st2").kill()
    etcdctl(members, "put", "key", "value")
    members.daemon("st2").start()
    [found] = etcdctl(members, "get", "key")["kvs"]
    assert found["value"] == "dmFsdWU="  # in base 64


def test_nobody_without_a_certificate_is_served(members: Lab) -> None:
    with pytest.raises(LabError, match="status 1"):
        etcdctl(members, "get", "key", security=TLS[:2])


def test_the_packaged_configuration_makes_a_cluster(lab: Lab) -> None:
    """With each member's own name and address, and other folders."""
    stores = lab.topology().stores
    text = PACKAGED.read_text()
    mine = f"https://[{stores['st1'].core.address}]"
    with ExitStack() as running:
        for name, store in stores.items():
            own = text.replace("name: st1", f"name: {name}").replace("/etc/moorage", "/run/moorage")
            own = own.replace(f"urls: {mine}", f"urls: https://[{store.core.address}]")
            node = lab.node(name)
            (node.folder / "member.yml").write_text(own.replace("/var/lib", "/run/moorage"))
            etcd = node.popen(["etcd", "--config-file", "/run/moorage/member.yml"])
            running.enter_context(etcd)
            running.callback(etcd.kill)
        eventually(lambda: len(healthy(lab)) == len(stores))


def healthy(lab: Lab) -> list[str]:
    """The endpoints of the members that serve."""
    try:
        return [each["endpoint"] for each in etcdctl(lab, "endpoint", "health") if each["health"]]
    except LabError:  # some do not
        return []


class Region(Scene):
    """The example as it is brought up by ``moorage lab up``."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, Path(os.devnull))

    def _all_bindings(self) -> list[Binding]:
        said = moorage(self.lab.node("ar3"), "bindings", *HERE, "export")
        records = from_lines(said.encode().splitlines(), "export").values()
        return [record for record in records if isinstance(record, Binding)]

    def leader(self) -> str:
        """The member that leads the others."""
        status = moorage_json(self.lab.node("ar3"), "store", "status", *HERE)
        return str(status["engine"]["leader"])

    def kill(self, node: str) -> None:
        """Let a node's daemon, and its machine, fall dead."""
        assert self.lab.daemon(node).kill() == -signal.SIGKILL
        links = (UPLINK, ACCESS) if node in self.topology.routers else (UPLINK,)
        for link in links:
            self.lab.node(node).run(["ip", "link", "set", link, "down"])


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    name = f"{os.getpid()}-cluster"
    command = [sys.executable, "-m", "moorage", "lab", "--name", name]
    subprocess.run([*command, "up", EXAMPLE], check=True)
    try:
        made = Region(Lab.join(name))
        monkeypatch.setenv("MOORAGE_SOCKET", str(made.host.folder / "host.sock"))
        eventually(made.settled)
        yield made
    finally:
        subprocess.run([*command, "down"], check=True)


def test_a_connection_outlives_the_leader_of_the_store_and_then_its_anchor(region: Region) -> None:
    with Flow(region.connect(LASTING)) as flow:
        assert flow.connection.source in region.pool("ar1")
        leader = region.leader()
        region.kill(leader)
        region.lab.move("mn", "ar3")
        assert flow.goes_on()
        eventually(region.settled)
        assert region.leader() != leader
        region.kill("ar1")
        assert flow.goes_on()
        region.lab.move("mn", "ar2")
        assert flow.goes_on()
        assert region.setsc(LASTING, on_net=True) in region.pool("ar2")
        status = moorage_json(region.lab.node("ar3"), "router", "status")
        assert {each["id"]: each["holder"] for each in status["anchors"]}["ar1"] == "ar2"
