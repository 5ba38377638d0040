"""A host with a connection, and a hostile one beside it that knows all about it but its key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

import msgspec

from moorage.lab import topology
from moorage.lab.topology import Topology
from moorage.service import ServiceType
from moorage.store.model import Binding
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.eavesdropper import Eavesdropper
from tests.conformance.scene import Connection, Scene, eventually

ROUTERS: Final = ["ar1", "ar2"]


class Victim(NamedTuple):
    """A host with a connection, and Eve beside it."""

    scene: Scene
    connection: Connection
    eve: Eavesdropper

    def bindings(self) -> list[Binding]:
        """What the host holds."""
        client = self.scene.binding(self.connection.source).client
        return [binding for binding in self.scene.bindings() if binding.client == client]

    def is_as(self, before: list[Binding]) -> bool:
        """Whether the host has what it had, and its connection works."""
        return self.bindings() == before and self.connection.works()


@contextmanager
def attacked(stage: Stage) -> Iterator[Victim]:
    """Make a lab with both of them; Eve has done nothing yet."""
    with ExitStack() as stack:
        scene = stack.enter_context(
            stage(
                routers={"keyless": "always", "limits": {"fixed": {"per_host": 8}}},
                host={"linger": LINGER, "at_boot": []},
                plain=_with_eve(topology.load("two-routers")),
                daemons=False,
            )
        )
        for name in (*ROUTERS, "mn"):
            scene.lab.daemon(name).start()
        eventually(scene.settled)
        connection = stack.enter_context(scene.connect(ServiceType.FIXED))
        yield Victim(scene, connection, Eavesdropper(scene, stack))


def _with_eve(plain: Topology) -> Topology:
    eve = topology.Host(attach={"wl0": "ar1", "wl1": "ar2"})
    return msgspec.structs.replace(plain, hosts={**plain.hosts, "eve": eve})
