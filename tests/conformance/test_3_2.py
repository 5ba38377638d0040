"""Draft section 3.2: what each of the four types of address promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import moorage
from moorage.kernel import sysctl
from moorage.lab.network import ACCESS
from moorage.service import ServiceType
from moorage.store.model import BindingState
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import PATIENCE, Scene, eventually

pytestmark = pytest.mark.netns

GRACE = 1


def test_a_fixed_address_stays_while_nobody_uses_it(bare: Scene) -> None:
    """3.2-a: unused, a Fixed address outlives one that the host gives back when it is unused."""
    fixed = bare.setsc(ServiceType.FIXED)
    other = bare.setsc(ServiceType.SESSION_LASTING)
    eventually(lambda: not bare.binding(other).held)
    assert bare.typed() == {fixed}
    assert bare.binding(fixed).held
    assert bare.setsc(ServiceType.FIXED) == fixed


@pytest.fixture
def attentive(stage: Stage) -> Iterator[Scene]:
    """A lab whose routers soon notice that a host is silent (RFC 4861 section 7.3)."""
    with stage(daemons=False) as scene:
        for router in scene.topology.routers:
            for key, value in (
                ("base_reachable_time_ms", "10"),
                ("delay_first_probe_time", "0"),
                ("retrans_time_ms", "100"),
            ):
                path = f"net/ipv6/neigh/{ACCESS}/{key}"
                scene.lab.node(router).call(sysctl.write, path, value)
        scene.lab.start_daemons()
        eventually(scene.settled)
        yield scene


def test_a_fixed_address_stays_while_the_host_is_detached(attentive: Scene) -> None:
    """3.2-a: a Fixed address outlasts that the host has no link; its connection goes on then."""
    with attentive.connect(ServiceType.FIXED) as connection:
        address, router = connection.source, attentive.here
        attentive.lab.detach("mn", "wl0")
        connection.far.sendall(b"are you there?")
        eventually(lambda: attentive.binding(address).state is BindingState.DETACHED)
        assert address in attentive.typed()
        attentive.lab.attach("mn", "wl0", router)
        assert connection.near.recv(100) == b"are you there?"
        eventually(lambda: attentive.binding(address).serving == router)
        assert connection.works()
        assert attentive.setsc(ServiceType.FIXED) == address


def test_a_fixed_address_stays_when_the_host_moves(scene: Scene) -> None:
    """3.2-a: a Fixed address and its connection go on over moves; anchor and prefix remain."""
    with scene.connect(ServiceType.FIXED) as connection:
        before = scene.binding(connection.source)
        for _ in range(2):
            router = scene.move()
            after = scene.binding(connection.source)
            assert (after.serving, after.anchor) == (router, before.anchor)
            assert (after.client, after.iaid) == (before.client, before.iaid)
            assert connection.works()
            assert scene.setsc(ServiceType.FIXED) == connection.source


def test_a_fixed_address_stays_when_the_host_daemon_starts_anew(scene: Scene) -> None:
    """3.2-a: a Fixed address, its connection and its binding survive the host daemon's death."""
    with scene.connect(ServiceType.FIXED) as connection:
        before = scene.binding(connection.source)
        daemon = scene.lab.daemon("mn")
        daemon.kill()
        assert connection.works()
        daemon.start()
        assert connection.works()
        assert scene.setsc(ServiceType.FIXED) == connection.source
        after = scene.binding(connection.source)
        assert (after.iaid, after.anchor, after.held) == (before.iaid, before.anchor, True)
        scene.move()
        assert connection.works()


def test_a_fixed_address_stays_when_its_routers_start_anew(scene: Scene) -> None:
    """3.2-a: a Fixed address works on after serving router and anchor have died, wherever it is."""
    with scene.connect(ServiceType.FIXED) as connection:
        if scene.binding(connection.source).anchor == scene.here:
            scene.move()
        for router in scene.topology.routers:
            daemon = scene.lab.daemon(router)
            daemon.kill()
            assert connection.works()
            daemon.start()
            assert connection.works()
        assert scene.binding(connection.source).held
        scene.move()
        assert connection.works()
        assert scene.setsc(ServiceType.FIXED) == connection.source


def test_a_session_lasting_address_stays_as_long_as_its_socket(bare: Scene) -> None:
    """3.2-b: it is valid over moves while a socket has it, and is given back afterwards."""
    with bare.connect(ServiceType.SESSION_LASTING) as connection:
        address = connection.source
        for _ in range(3):
            router = bare.move()
            assert bare.binding(address).serving == router
            assert address in bare.typed()
            assert connection.works()
    eventually(lambda: not bare.binding(address).held)
    assert bare.binding(address).state is BindingState.RELEASED
    assert address not in bare.addresses()


def test_a_session_lasting_address_stays_for_a_socket_that_is_not_connected(bare: Scene) -> None:
    """3.2-b: a socket that asked for it, and has not even been bound yet, keeps it valid."""
    with bare.new_socket() as sock:
        address = moorage.setsc(sock, ServiceType.SESSION_LASTING)
        other = bare.setsc(ServiceType.GRACEFUL_REPLACEMENT)
        eventually(lambda: not bare.binding(other).held)
        bare.move()
        assert bare.binding(address).held
        sock.bind((str(address), 0))
        assert address in bare.typed()


def test_a_non_persistent_address_goes_with_its_gateway(scene: Scene) -> None:
    """3.2-c: it is of the serving gateway's prefix, and no longer configured after a move."""
    for _ in range(2):
        old, router = scene.setsc(ServiceType.NON_PERSISTENT), scene.here
        assert old in scene.slaac_prefix(router)
        router = scene.move()
        assert old not in scene.addresses()
        new = scene.setsc(ServiceType.NON_PERSISTENT)
        assert new in scene.slaac_prefix(router)


@pytest.fixture
def graceful(stage: Stage) -> Iterator[Scene]:
    """A lab where an old Graceful-replacement prefix is soon gone after a move."""
    with stage(routers={"grace": GRACE}, host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


def test_a_graceful_replacement_address_is_replaced(graceful: Scene) -> None:
    """3.2-d: after a move old and new prefix are valid for the grace time, then only the new."""
    with graceful.connect(ServiceType.GRACEFUL_REPLACEMENT) as connection:
        old = connection.source
        graceful.move()
        with graceful.connect(ServiceType.GRACEFUL_REPLACEMENT) as successor:
            new = successor.source
            assert {old, new} <= graceful.typed()
            assert connection.works()
            assert successor.works()
            bindings = {graceful.binding(old), graceful.binding(new)}
            assert {binding.anchor for binding in bindings} == set(graceful.topology.routers)
            assert all(binding.held for binding in bindings)
            assert graceful.binding(old).valid_until <= graceful.binding(new).valid_until
            eventually(lambda: not graceful.binding(old).held)
            eventually(lambda: old not in graceful.typed())
            with pytest.raises(ConnectionAbortedError):
                connection.near.recv(1)
            assert new in graceful.typed()
            assert graceful.binding(new).held
            assert successor.works()


def test_an_application_is_told_of_both_addresses(graceful: Scene) -> None:
    """3.2-d, 7-f: it hears what replaces its address, which is there unasked, and of the end."""
    with graceful.connect(ServiceType.GRACEFUL_REPLACEMENT) as connection:
        old = connection.source
        with moorage.watch(connection.near) as watch:
            here = graceful.move()
            told = []
            for event in watch.events(timeout=PATIENCE):
                told.append(event)
                if isinstance(event, moorage.Replaced):
                    assert event.address == old
                    assert event.valid_for <= GRACE
                    assert graceful.binding(event.by).anchor == here
                    assert {old, event.by} <= graceful.typed()
                    assert graceful.setsc(ServiceType.GRACEFUL_REPLACEMENT) == event.by
                if isinstance(event, moorage.Gone):
                    break
        kinds = [type(event) for event in told]
        assert kinds.index(moorage.Deprecated) < kinds.index(moorage.Replaced)
        assert told[-1] == moorage.Gone(old, moorage.Why.EXPIRED)
