"""A host core on a clock that is turned by hand, and a network that answers it from a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from math import isinf
from random import Random
from typing import TypeVar

from moorage.host.actions import (
    Action,
    Answer,
    CountSockets,
    DestroySockets,
    Notify,
    Reconcile,
    SendDhcp,
    Steer,
    Tell,
)
from moorage.host.caller import Caller
from moorage.host.config import HostConfig
from moorage.host.core import HostCore
from moorage.host.lease import Lease
from moorage.host.state import Memory
from moorage.kernel.addresses import Address, AddressFlags
from moorage.kernel.links import Link
from moorage.numbers import ROUTE_PROTOCOL
from moorage.service import ServiceType
from moorage.wire.app import Operation, Reply, Request
from moorage.wire.dhcp6 import (
    ClientId,
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    OnDemand,
    Option,
    PathMtu,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    ServiceTypeOf,
    Status,
    StatusCode,
    SubOption,
)
from moorage.wire.nd import OnDemandLink, PrefixInformation, RouterAdvertisement

_T = TypeVar("_T")
_E = TypeVar("_E")

WL0, WL1, ETH0 = 2, 3, 4
DUID = b"\x00\x04" + bytes(range(16))
SECRET = bytes(32)
SERVER = b"\x00\x04" + bytes(16)
DOMAIN = b"operator"
ROUTERS = {WL0: IPv6Address("fe80::a1"), WL1: IPv6Address("fe80::a2")}
ELSEWHERE = IPv6Network("2001:db8:e0::/64")
MAC = b"\x02\0\0\0\0\1"
NOTHING = Memory()
CONFIG = HostConfig(interfaces=["wl0", "wl1"])
CALLER = Caller(4711, 1, 0, frozenset({0}), "/usr/bin/python3")
USER = Caller(4712, 1, 1000, frozenset({1000}), "/usr/bin/python3")

FIXED = ServiceType.FIXED
LASTING = ServiceType.SESSION_LASTING
ORDINARY = ServiceType.NON_PERSISTENT
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT


def duid_of(domain: bytes) -> bytes:
    """Return by what a network domain knows the host."""
    return DUID + domain


def link(interface: int, *, up: bool = True) -> Link:
    return Link(interface, f"wl{interface - WL0}", MAC, 1500, True, up, False)


def link_local(interface: int) -> Address:
    return Address(IPv6Address("fe80::1234"), interface, 64)


def slaac(interface: int, prefix: IPv6Network, valid: int | None = 3600) -> Address:
    """Return the address that the kernel forms from an advertised prefix."""
    return Address(prefix[0x1234], interface, 64, valid, valid, 2, AddressFlags.NONE)


def own(interface: int, address: IPv6Address, valid: int | None) -> Address:
    """Return an address that the host formed itself, as the kernel shows it."""
    return Address(address, interface, 64, 0, valid, ROUTE_PROTOCOL, AddressFlags.DEPRECATED)


def advertisement(
    link_id: bytes | None = None,
    *prefixes: IPv6Network,
    offered: Iterable[ServiceType] = ServiceType,
    lifetime: int = 0xFFFF,
    domain: bytes = DOMAIN,
) -> RouterAdvertisement:
    """Return what a router sends; without a link id it does not know the service."""
    options = [PrefixInformation(prefix, True, True, 3600, 1800) for prefix in prefixes]
    service = [] if link_id is None else [OnDemandLink(frozenset(offered), domain, link_id)]
    return RouterAdvertisement(64, False, False, lifetime, 0, 0, (*options, *service))


@dataclass
class Network:
    """Answers a host's messages; the fields are the script.

    Attributes:
        silent: the interfaces on which nothing answers.
        knows_service: whether answers carry our option.
        refuses: why nothing new is given.
        gives: prefixes to give instead of fresh ones.
        withdrawn: types that a Rebind no longer finds.
        replaced: types that a Rebind finds for the grace time only.
        busy: whether a Rebind is to come again later.
        unknown: whether it has no bindings.
        forgetful: whether it has lost its bindings, and gives prefixes again as if they were new.
        default: the type of what is asked for without one; none: it does not say.
        lies: the type that it says it gave, instead of the one that was asked for.
    """

    silent: set[int] = field(default_factory=set)
    knows_service: bool = True
    refuses: RefusalReason | None = None
    gives: list[IPv6Network] = field(default_factory=list)
    withdrawn: set[ServiceType] = field(default_factory=set)
    replaced: set[ServiceType] = field(default_factory=set)
    busy: bool = False
    unknown: bool = False
    forgetful: bool = False
    default: ServiceType | None = LASTING
    lies: ServiceType | None = None
    heard: list[tuple[int, Message]] = field(default_factory=list)
    bindings: dict[int, IPv6Network] = field(default_factory=dict)
    released: list[IPv6Network] = field(default_factory=list)
    lifetimes: tuple[int, int, int, int] = (3600, 7200, 600, 1200)
    _given: int = 0

    def types(self) -> list[MessageType]:
        """Return the types of the messages heard, and forget them."""
        heard, self.heard = self.heard, []
        return [message.type for _, message in heard]

    def answer(self, interface: int, message: Message) -> Message | None:
        self.heard.append((interface, message))
        if interface in self.silent:
            return None
        options: list[Option] = [*message.every(ClientId), ServerId(SERVER)]
        if message.first(RapidCommit):
            options.append(RapidCommit())
        asked = OnDemand.of(message) or OnDemand(())
        about: list[SubOption] = []
        for ia in message.every(IaPd):
            kind = asked.service_type(ia.iaid)
            options.append(self._ia(message, ia, kind, about))
            kind = kind or self.default
            if kind is not None:
                about.append(ServiceTypeOf(ia.iaid, self.lies or kind))
        if self.knows_service:
            options.append(OnDemand(tuple(about)).to_option())
        return Message(MessageType.REPLY, message.transaction_id, tuple(options))

    def _ia(
        self, message: Message, ia: IaPd, kind: ServiceType | None, about: list[SubOption]
    ) -> IaPd:
        preferred, valid, t1, t2 = self.lifetimes
        if message.type is MessageType.RELEASE:
            found = self.bindings.pop(ia.iaid, None)
            if found is not None and found == ia.prefixes[0].prefix:
                self.released.append(found)
            return IaPd(ia.iaid, 0, 0)
        moving = message.type is MessageType.REBIND
        if moving and self.busy:
            about.append(Refusal(ia.iaid, RefusalReason.TRY_LATER))
            return IaPd(ia.iaid, 0, 0, (StatusCode(Status.NO_PREFIX_AVAIL),))
        if moving and kind in self.withdrawn:
            return IaPd(ia.iaid, 0, 0, (IaPrefix(0, 0, ia.prefixes[0].prefix),))
        nameless = ia.prefixes[0].prefix.network_address.is_unspecified
        lost = self.forgetful or (nameless and ia.iaid not in self.bindings)
        if self.unknown or (lost and message.type is not MessageType.SOLICIT):
            return IaPd(ia.iaid, 0, 0, (StatusCode(Status.NO_BINDING),))
        if message.type is MessageType.SOLICIT:
            if self.refuses is not None:
                about.append(Refusal(ia.iaid, self.refuses))
                return IaPd(ia.iaid, 0, 0, (StatusCode(Status.NO_PREFIX_AVAIL),))
            if ia.iaid not in self.bindings:
                self.bindings[ia.iaid] = self._new(ia)
        if moving and kind in self.replaced:
            preferred, valid = 0, 60
        about.append(PathMtu(ia.iaid, 1400))
        prefix = self.bindings.get(ia.iaid, ia.prefixes[0].prefix)
        return IaPd(ia.iaid, t1, t2, (IaPrefix(preferred, valid, prefix),))

    def _new(self, ia: IaPd) -> IPv6Network:
        if self.gives:
            return self.gives.pop(0)
        wish = ia.prefixes[0].prefix
        return self._fresh() if wish.network_address.is_unspecified else wish

    def _fresh(self) -> IPv6Network:
        self._given += 1
        return IPv6Network((0x20010DB800A0 << 80 | self._given << 64, 64))


class Host:
    """A core with everything around it; asking and being answered take no time.

    Unless it is ``bare``, it has an ordinary address on an interface that is none of the core's.
    """

    def __init__(
        self,
        network: Network | None = None,
        config: HostConfig = CONFIG,
        memory: Memory = NOTHING,
        seed: int = 1,
        *,
        bare: bool = False,
    ) -> None:
        self.now = 1000.0
        self.network = network or Network()
        self.core = HostCore(config, duid_of, SECRET, Random(seed))
        self.done: list[Action] = []
        self.replies: dict[int, Reply] = {}
        self.notices: list[Notify] = []
        self.sockets: dict[IPv6Address, set[int]] = {}
        self.formed: dict[tuple[int, IPv6Address], float] = {}
        self.steered: dict[str, IPv6Address | None] = {}
        """The addresses that programs get by default."""
        self.clashes = 0
        """How many of the next addresses that are formed somebody else on the link has."""
        self._seed = seed
        self._bare = bare
        self._request = 0
        self._arriving: deque[tuple[int, Message]] = deque()
        self._reconciled = True
        self.do(self.core.restore(memory))
        self._look()

    def restart(self, config: HostConfig, memory: Memory) -> None:
        """Start the daemon anew; kernel, sockets and network go on, applications hear nothing."""
        self.core = HostCore(config, duid_of, SECRET, Random(self._seed))
        self._arriving.clear()
        self.do(self.core.restore(memory))
        self._look()
        self.advance(0)
        for interface, address in self.formed:
            self.do(self.core.link_changed(link(interface, up=False), self.now))
            found = own(interface, address, int(self.formed[interface, address] - self.now))
            self.do(self.core.address_changed(found, self.now))

    def _look(self) -> None:
        if not self._bare:
            self.do(self.core.address_changed(slaac(ETH0, ELSEWHERE, None), self.now))

    def do(self, actions: Iterable[Action]) -> None:
        """Do as the daemon does, then take in what was answered."""
        self._do(actions)
        while self._arriving or not self._reconciled:
            if not self._reconciled:
                self._reconciled = True
                self._form(self.core.formed())
                continue
            interface, message = self._arriving.popleft()
            router = ROUTERS[interface]
            self._do(self.core.dhcp_received(interface, router, message, self.now))

    def _form(self, wanted: dict[tuple[int, IPv6Address], float]) -> None:
        """Add and remove addresses on links as the kernel does, and tell of them."""
        gone, new = self.formed.keys() - wanted.keys(), wanted.keys() - self.formed.keys()
        self.formed = wanted
        for interface, address in gone:
            self._do(self.core.address_removed(own(interface, address, None), self.now))
        for interface, address in new:
            until = wanted[interface, address]
            valid = None if isinf(until) else int(until - self.now)
            found = own(interface, address, valid)
            tentative = replace(found, flags=found.flags | AddressFlags.TENTATIVE)
            self._do(self.core.address_changed(tentative, self.now))
            if self.clashes:
                self.clashes -= 1
                self._do(self.core.address_removed(tentative, self.now))
            else:
                self._do(self.core.address_changed(found, self.now))

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self.done.append(action)
            match action:
                case Answer(_, reply):
                    assert reply.id not in self.replies
                    self.replies[reply.id] = reply
                case Notify():
                    self.notices.append(action)
                case CountSockets(address):
                    found = self.sockets.get(address, set())
                    self._do(self.core.sockets_counted(address, found, self.now))
                case DestroySockets(address, cookies):
                    users = self.sockets.get(address, set())
                    for cookie in set(users if cookies is None else users & cookies):
                        self.end(cookie)
                case Steer(client, address):
                    assert isinstance(client, str)
                    self.steered[client] = address
                case Reconcile():
                    self._reconciled = False
                case SendDhcp(sent):
                    answer = self.network.answer(sent.interface, sent.message)
                    if answer is not None:
                        self._arriving.append((sent.interface, answer))
                case _:
                    pass

    def answer(self, interface: int, message: Message) -> None:
        """Take in a message from the network."""
        self._arriving.append((interface, message))
        self.do(())

    def advance(self, seconds: float) -> None:
        """Let time pass; the core is polled exactly when it asks for it."""
        end = self.now + seconds
        polls = 0
        while (due := self.core.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.do(self.core.poll(self.now))
            polls += 1
            assert polls <= 100 + 50 * seconds
        self.now = end

    def attach(self, interface: int = WL0, *, heard: bytes | None = None) -> None:
        """Come up on a link and, with ``heard``, hear the router of the link with that id."""
        self.do(self.core.link_changed(link(interface), self.now))
        self.do(self.core.address_changed(link_local(interface), self.now))
        if heard is not None:
            self.hear(advertisement(heard), interface)

    def resume(self, slept: float) -> None:
        """Sleep, in which the host does nothing, and wake up."""
        self.now += slept
        self.do(self.core.resumed(slept, self.now))

    def detach(self, interface: int = WL0) -> None:
        self.do(self.core.link_changed(link(interface, up=False), self.now))
        self.do(self.core.address_removed(link_local(interface), self.now))

    def hear(
        self,
        message: RouterAdvertisement,
        interface: int = WL0,
        router: IPv6Address | None = None,
    ) -> None:
        router = router or ROUTERS[interface]
        self.do(self.core.router_advertised(interface, router, message, self.now))

    def setsc(
        self,
        kind: int | None,
        cookie: int | None = 1,
        *,
        on_net: bool = False,
        lifetime: int = 0,
        timeout: float = 0.0,
        client: str = "application",
        caller: Caller = CALLER,
    ) -> int:
        """Ask as an application does and return the request's number."""
        self._request += 1
        operation = Operation.HOLD if cookie is None else Operation.SETSC
        if kind is None:
            operation, kind = Operation.DEFAULT, 0
        milliseconds = int(timeout * 1000)
        request = Request(self._request, operation, kind, on_net, milliseconds, lifetime)
        self.do(self.core.setsc(client, caller, request, cookie, self.now))
        reply = self.replies.get(self._request)
        if reply is not None and reply.status == 0 and cookie is not None:
            self.sockets.setdefault(reply.address, set()).add(cookie)
        return self._request

    def run(self, program: str, kind: ServiceType, caller: Caller = CALLER) -> Reply | None:
        """Run a program with addresses of a type; return the reply if it has come."""
        self._request += 1
        request = Request(self._request, Operation.RUN, kind, False, 0)
        self.do(self.core.run(program, caller, request, self.now))
        return self.replies.get(self._request)

    def exit(self, program: str) -> None:
        """End a program."""
        self.do(self.core.client_gone(program, self.now))

    def ask(
        self,
        kind: int | None,
        cookie: int | None = 1,
        *,
        on_net: bool = False,
        lifetime: int = 0,
        caller: Caller = CALLER,
    ) -> Reply:
        """Ask and return the reply, which must have come in the same call."""
        number = self.setsc(kind, cookie, on_net=on_net, lifetime=lifetime, caller=caller)
        return self.replies[number]

    def close(self, cookie: int) -> None:
        """End a socket, as an application does."""
        self.end(cookie)
        self.do(())

    def end(self, cookie: int) -> None:
        for users in self.sockets.values():
            users.discard(cookie)
        self._do(self.core.socket_destroyed(cookie, self.now))

    def lease(self, address: IPv6Address) -> Lease | None:
        return next((lease for lease in self.core.leases if lease.address == address), None)

    def forget(self) -> None:
        """Forget what was done and sent so far."""
        self.done.clear()
        self.network.heard.clear()

    def told(self, kind: type[_E]) -> list[_E]:
        """Return the events of a kind that were told, and forget what was done so far."""
        return [action.event for action in self.took(Tell) if isinstance(action.event, kind)]

    def took(self, kind: type[_T]) -> list[_T]:
        """Return the actions of a kind since the last time, and forget all."""
        done, self.done = self.done, []
        return [action for action in done if isinstance(action, kind)]


def config(**changes: object) -> HostConfig:
    """Return the usual configuration with ``changes``."""
    values = {name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__}
    return HostConfig(**{**values, **changes})
