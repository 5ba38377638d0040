"""A lab whose daemons run, as the tests of this folder see it: from outside.

They look at sockets, packets, the kernel's tables and the binding store.
"""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec
import pytest

import moorage
from moorage.kernel import sysctl
from moorage.kernel.addresses import Address, NetlinkAddressTable
from moorage.lab import topology
from moorage.lab.lab import Lab
from moorage.lab.namespaces import real_user
from moorage.lab.pcap import capture_socket
from moorage.lab.topology import Topology
from moorage.lab.traffic import tcp_pair
from moorage.numbers import ROUTE_PROTOCOL
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.store.rows import binding_of
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import CLIENT_PORT, SERVER_PORT, Message, MessageType, decode_message
from scripts.conformance import Transport
from tests.conformance import hook_tables

T = TypeVar("T")
Settings = Mapping[str, Any]
Setsc = Callable[..., IPv6Address]
"""``setsc()`` in any language, with the keyword ``on_net``."""

DELEGATED: Final = [service for service in ServiceType if service is not ServiceType.NON_PERSISTENT]
"""The types whose prefixes are always delegated; Non-persistent ones are advertised, too."""

PATIENCE: Final = 20.0
"""Seconds that anything may take which no event tells of, and a socket until it is readable."""

PREFERENCES: Final = (socket.IPPROTO_IPV6, moorage.IPV6_ADDR_PREFERENCES)

_STORE: Final = "bindings.db"
_POLL: Final = 0.01
_USUAL: Final = 0x0500
"""The preferences of a socket that has set none."""
_patiently: Final = partial(moorage.setsc, timeout=PATIENCE)


def eventually(condition: Callable[[], T]) -> T:
    """What ``condition`` returns as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not true after {PATIENCE:g} s"
        time.sleep(_POLL)
    return result


def refusal(caught: pytest.ExceptionInfo[moorage.SetscError]) -> tuple[int, Reason]:
    """The code and the reason of what ``setsc()`` raised, as `Scene.refusal` expects them."""
    return caught.value.eai, caught.value.reason


class Connection:
    """A TCP connection between the host and the correspondent."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        for end in (near, far):
            end.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()

    @property
    def source(self) -> IPv6Address:
        """The host's address, as the correspondent sees it."""
        return IPv6Address(self.far.getpeername()[0])

    def works(self) -> bool:
        """Whether bytes pass, up and down, and nothing else does."""
        for sender, receiver in ((self.near, self.far), (self.far, self.near)):
            sender.sendall(b"ahoy")
            if receiver.recv(100) != b"ahoy":
                return False
        return True


class Tap:
    """The DHCPv6 messages that the host's interface sends and receives from now on."""

    def __init__(self, frames: socket.socket) -> None:
        self._frames = frames

    def messages(self, kind: MessageType | None = None) -> list[Message]:
        """All that have passed since the last call, or those of one type."""
        found: list[Message] = []
        while True:
            try:
                frame = self._frames.recv(1 << 16)
            except BlockingIOError:
                return [one for one in found if kind in (None, one.type)]
            message = _dhcp_message(frame)
            if message is not None:
                found.append(message)


def _dhcp_message(frame: bytes) -> Message | None:
    ethernet, ipv6, udp = 14, 40, 8
    header = frame[ethernet + ipv6 :]
    if frame[12:14] != b"\x86\xdd" or frame[ethernet + 6] != socket.IPPROTO_UDP:
        return None
    if int.from_bytes(header[2:4], "big") not in (CLIENT_PORT, SERVER_PORT):
        return None
    message = decode_message(header[udp:])
    assert isinstance(message, Message)
    return message


class Scene:
    """Two access routers, a correspondent and a host, whose applications are in this process.

    Attributes:
        transport: what their ``setsc()`` meets; none: what there is, and nobody looks.
        daemon_socket: where they ask the daemon.
    """

    def __init__(self, lab: Lab, store: Path, transport: Transport | None = None) -> None:
        self.lab = lab
        self.transport = transport
        self.host = lab.node("mn")
        self.peer = lab.node("cn")
        self.topology = lab.topology()
        self.destination = self.topology.correspondents["cn"].core.address
        self.daemon_socket = self.host.folder / "host.sock"
        self._store = store

    # ---- applications --------------------------------------------------------------------------

    def new_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket of an application on the host."""
        return self.host.socket(socket.AF_INET6, kind)

    def setsc(
        self, service: ServiceType, *, on_net: bool = False, timeout: float = PATIENCE
    ) -> IPv6Address:
        """The answer to ``setsc()`` for a socket that is closed at once."""
        with self.new_socket() as sock:
            return moorage.setsc(sock, service, on_net=on_net, timeout=timeout)

    def ask(
        self,
        sock: socket.socket,
        service: int,
        *,
        on_net: bool = False,
        setsc: Setsc = _patiently,
    ) -> IPv6Address | None:
        """What ``setsc()`` gives a socket, which must be as before.

        What the hooks offer it has to have from them. Where there is nothing it gives no address,
        and has to say so by the draft's code.
        """
        before = sock.getsockname(), sock.getsockopt(*PREFERENCES)
        wish = {"on_net": True} if on_net else {}
        if not self.served:
            with pytest.raises(moorage.RequiredIPNotSupported) as caught:
                setsc(sock, service, **wish)
            assert caught.value.errno == moorage.EAI_REQUIREDIPNOTSUPPORTED
            address = None
        elif self.hooked and before[1] == _USUAL and not on_net:
            with self._from_hooks(service):
                address = setsc(sock, service)
        else:
            address = setsc(sock, service, **wish)
        assert (sock.getsockname(), sock.getsockopt(*PREFERENCES)) == before
        return address

    @contextmanager
    def _from_hooks(self, service: int) -> Iterator[None]:
        """The hooks have to give what they offer, if it is the same before and after."""
        offer = self._offer(service)
        since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        yield
        if offer and self._offer(service) == offer:
            assert hook_tables.taken(self.daemon_socket, service) >= since

    def hooks_offer(self, service: int) -> bool:
        """Whether hooks in the kernel have an address of this type for everybody who asks."""
        return self._offer(service) != 0

    def _offer(self, service: int) -> int:
        return hook_tables.offer(self.daemon_socket, service)

    def connect(
        self, service: ServiceType, *, on_net: bool = False, setsc: Setsc = _patiently
    ) -> Connection:
        """A connection, made as the draft's section 4.1 does: with an address, or without."""

        def prepare(near: socket.socket) -> None:
            address = self.ask(near, service, on_net=on_net, setsc=setsc)
            if address is not None:
                near.bind((str(address), 0))

        return Connection(*tcp_pair(self.host, self.peer, self.destination, prepare))

    def connect_plainly(
        self, prepare: Callable[[socket.socket], object] = lambda _: None
    ) -> Connection:
        """A connection whose source address is the kernel's choice."""
        return Connection(*tcp_pair(self.host, self.peer, self.destination, prepare))

    # ---- what applications are to expect -------------------------------------------------------

    @property
    def hooked(self) -> bool:
        """Whether the kernel has hooks; only root outside of user namespaces can load them."""
        return self.transport is Transport.HOOKS and real_user() == 0

    @property
    def served(self) -> bool:
        """Whether there is anything that gives addresses by their type."""
        return self.transport is not Transport.NOTHING

    def granted(self, service: ServiceType) -> ServiceType:
        """The type of the address that a socket has in the end who asked for one of this type."""
        return service if self.served else ServiceType.NON_PERSISTENT

    def sources(self, answer: IPv6Address | None) -> set[IPv6Address]:
        """The addresses that a socket may have in the end who got this answer."""
        return self.ordinary() if answer is None else {answer}

    def refusal(self, eai: int, reason: Reason) -> tuple[int, Reason]:
        """The code and the reason of a refusal; there is only one where there is nothing."""
        if self.served:
            return eai, reason
        return moorage.EAI_REQUIREDIPNOTSUPPORTED, Reason.NO_SERVICE

    # ---- what the kernel and the store say -----------------------------------------------------

    def addresses(self) -> dict[IPv6Address, Address]:
        """The host's usable global addresses."""
        return {
            found.address: found
            for found in self.host.call(_addresses)
            if found.usable and not (found.address.is_link_local or found.address.is_loopback)
        }

    def typed(self) -> set[IPv6Address]:
        """The addresses that the host daemon made of delegated prefixes."""
        return {
            address
            for address, found in self.addresses().items()
            if found.protocol == ROUTE_PROTOCOL
        }

    def ordinary(self) -> set[IPv6Address]:
        """The addresses that the host's kernel made of what routers advertise."""
        return {address for address, found in self.addresses().items() if found.autoconfigured}

    def bindings(self) -> list[Binding]:
        """The bindings that a client holds."""
        return [binding for binding in self._all_bindings() if binding.held]

    def of_type(self, service: ServiceType) -> list[Binding]:
        """The bindings of one type that a client holds."""
        return [binding for binding in self.bindings() if binding.type is service]

    def type_of(self, address: IPv6Address) -> ServiceType:
        """The type of an address; an ordinary one's is Non-persistent (draft section 3.2)."""
        if address in self.ordinary():
            return ServiceType.NON_PERSISTENT
        return self.binding(address).type

    def binding(self, address: IPv6Address) -> Binding:
        """The binding, held or released, of the prefix that an address is from."""
        [found] = self.bindings_of(address)
        return found

    def bindings_of(self, address: IPv6Address) -> list[Binding]:
        """The same; none for an ordinary address."""
        return [binding for binding in self._all_bindings() if address in binding.prefix]

    def _all_bindings(self) -> list[Binding]:
        with closing(sqlite3.connect(f"{self._store.as_uri()}?mode=ro", uri=True)) as store:
            return [binding_of(row) for row in store.execute("SELECT * FROM binding")]

    def tap(self) -> Tap:
        """The DHCPv6 messages of the host."""
        return Tap(self.host.call(capture_socket, "wl0"))

    # ---- where the host is ---------------------------------------------------------------------

    @property
    def here(self) -> str:
        """The router that the host is attached to."""
        router = self.lab.status().nodes["mn"].attached["wl0"]
        assert router is not None
        return router

    @property
    def elsewhere(self) -> str:
        """The other router."""
        [other] = [name for name in self.topology.routers if name != self.here]
        return other

    def slaac_prefix(self, router: str) -> IPv6Network:
        """The prefix that a router advertises for ordinary addresses."""
        return self.topology.routers[router].access.prefix

    def pool(self, router: str) -> IPv6Network:
        """What a router delegates from."""
        return self.topology.routers[router].pool

    def move(self) -> str:
        """Move the host to the other router, and return its name when it is served there."""
        if self.served:
            self.lab.move("mn", self.elsewhere)
        else:
            # What network managers of ordinary hosts do when the link is lost.
            disable = "net/ipv6/conf/wl0/disable_ipv6"
            self.host.call(sysctl.write, disable, "1")
            self.lab.move("mn", self.elsewhere)
            self.host.call(sysctl.write, disable, "0")
        eventually(self.settled)
        return self.here

    def booted(self) -> bool:
        """Whether the host is settled, with what it has from boot."""
        return self.settled() and (bool(self.typed()) or not self.served)

    def settled(self) -> bool:
        """Whether the present router serves the host: with its prefixes and an ordinary address."""
        router = self.here
        return (
            all(binding.serving == router for binding in self.bindings())
            and bool(self.ordinary())
            and all(address in self.slaac_prefix(router) for address in self.ordinary())
        )


def _addresses() -> list[Address]:
    with closing(NetlinkAddressTable()) as table:
        return table.addresses()


@contextmanager
def open_scene(
    folder: Path,
    *,
    transport: Transport | None = None,
    plain: Topology | None = None,
    routers: Settings | None = None,
    host: Settings | None = None,
    daemons: bool = True,
) -> Iterator[Scene]:
    """Make a lab whose daemons have other settings than usual, and its store in ``folder``."""
    plain = plain or topology.load("two-routers")
    hooks = {"hooks": False} if transport is Transport.DAEMON else {}
    made = _with_settings(plain, routers or {}, {**hooks, **(host or {})})
    with Lab.start(made, state=folder) as lab, pytest.MonkeyPatch.context() as patch:
        scene = Scene(lab, folder / _STORE, transport)
        patch.setenv("MOORAGE_SOCKET", str(scene.daemon_socket))
        if daemons and scene.served:
            lab.start_daemons()
        elif daemons:
            for router in scene.topology.routers:
                lab.daemon(router).start()
        yield scene


def _with_settings(plain: Topology, routers: Settings, host: Settings) -> Topology:
    return msgspec.structs.replace(
        plain,
        routers={
            name: msgspec.structs.replace(router, settings={**router.settings, **routers})
            for name, router in plain.routers.items()
        },
        hosts={
            name: msgspec.structs.replace(node, settings={**node.settings, **host})
            for name, node in plain.hosts.items()
        },
    )
