"""Draft section 3.3: the type of address is chosen for each socket."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from moorage.service import ServiceType
from tests.conformance.scene import Scene

pytestmark = pytest.mark.netns


def test_one_process_has_sockets_of_every_type(scene: Scene) -> None:
    """3.3-a: one process has sockets of all four types at once, each with its own source."""
    with ExitStack() as stack:
        connections = {
            service: stack.enter_context(scene.connect(service)) for service in ServiceType
        }
        assert all(connection.works() for connection in connections.values())
        granted = {service: scene.granted(service) for service in ServiceType}
        sources = {service: connection.source for service, connection in connections.items()}
        assert {service: scene.type_of(source) for service, source in sources.items()} == granted
        assert len(set(sources.values())) == len(set(granted.values()))


def test_the_type_of_one_socket_does_not_bind_the_next(scene: Scene) -> None:
    """3.3-a: a move ends the one of a process' sockets that asked for no continuity."""
    with (
        scene.connect(ServiceType.SESSION_LASTING) as lasting,
        scene.connect(ServiceType.NON_PERSISTENT) as passing,
    ):
        scene.move()
        assert passing.source not in scene.addresses()
        assert (lasting.source in scene.addresses()) is scene.served
        if scene.served:
            with pytest.raises(ConnectionAbortedError):
                passing.near.recv(1)
            assert lasting.works()
