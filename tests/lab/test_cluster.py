"""A lab whose routers keep their bindings in an etcd cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from moorage.lab import topology
from moorage.lab.errors import LabError
from moorage.lab.lab import Lab

pytestmark = pytest.mark.netns

MEMBERS: Final = ("st1", "st2", "st3")
TLS: Final = (
    *("--cacert", "/run/moorage/tls/ca.pem"),
    *("--cert", "/run/moorage/tls/certificate.pem"),
    *("--key", "/run/moorage/tls/key.pem"),
)


@pytest.fixture
def cluster() -> Iterator[Lab]:
    with Lab.start(topology.load(Path("examples/cluster.toml"))) as lab:
        yield lab


def etcdctl(lab: Lab, *words: str, security: tuple[str, ...] = TLS) -> Any:
    stores = lab.topology().stores.values()
    endpoints = ",".join(f"https://[{store.core.address}]:2379" for store in stores)
    command = ["etcdctl", "--endpoints", endpoints, "--write-out", "json", *security, *words]
    return json.loads(lab.node("ar1").run(["env", "ETCDCTL_API=3", *command]).stdout)


def test_members_form_a_cluster_that_one_of_them_leaves_and_joins_again(cluster: Lab) -> None:
    cluster.start_daemons()
    status = etcdctl(cluster, "endpoint", "status")
    leaders = {member["Status"]["leader"] for member in status}
    assert len(status) == 3
    assert len(leaders) == 1
    cluster.daemon("st2").kill()
    etcdctl(cluster, "put", "key", "value")
    cluster.daemon("st2").start()
    [found] = etcdctl(cluster, "get", "key")["kvs"]
    assert found["value"] == "dmFsdWU="  # in base 64


def test_nobody_without_a_certificate_is_served(cluster: Lab) -> None:
    cluster.start_daemons()
    with pytest.raises(LabError, match="status 1"):
        etcdctl(cluster, "get", "key", security=TLS[:2])
